"""Staff's view of credentials. Keys are never shown, and entered on people's own pages only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from credentials.models import AccessToken, LLMCredential


@admin.register(LLMCredential)
class LLMCredentialAdmin(admin.ModelAdmin):
    list_display = (
        "provider", "label", "owner", "api_key_masked", "model_name", "is_default", "is_active",
        "is_simulated", "expires_at", "last_used_at",
    )  # fmt: skip
    list_filter = ("provider", "is_active", "is_default", "is_simulated")
    search_fields = ("label", "owner__username", "owner__email", "last4", "fingerprint")
    list_select_related = ("owner",)
    date_hierarchy = "created_at"
    fields = (
        "id", "owner", "provider", "label", "api_key_masked", "fingerprint", "key_kid",
        "model_name", "base_url", "params", "is_default", "is_active", "is_simulated",
        "expires_at", "last_used_at", "last_validated_at", "last_error", "created_at",
        "updated_at", "deleted_at",
    )  # fmt: skip
    # The default and the host belong to rules that only the services keep.
    readonly_fields = tuple(
        name for name in fields if name not in {"label", "model_name", "params", "expires_at"}
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(AccessToken)
class AccessTokenAdmin(admin.ModelAdmin):
    list_display = ("name", "user", "prefix", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    search_fields = ("name", "prefix", "user__username")
    list_select_related = ("user",)
    fields = (
        "name", "user", "prefix", "credential", "expires_at", "revoked_at", "last_used_at",
        "created_at",
    )  # fmt: skip
    readonly_fields = ("user", "prefix", "credential", "last_used_at", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
