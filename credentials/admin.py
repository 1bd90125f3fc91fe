"""Staff's view of credentials. Keys are never shown; what staff do goes through the services."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.messages.constants import DEFAULT_LEVELS
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from byom.readonly_admin import ReadOnlyAdmin
from credentials import lifecycle, services, tokens
from credentials.admin_forms import ChangeKeyForm, ChangeSystemKeyForm, SystemKeyForm
from credentials.audit import AuditEvent, AuditHead
from credentials.models import AccessToken, LLMCredential, ModelAlias, VaultCanary
from credentials.overview import report_test


class OwnerFilter(admin.SimpleListFilter):
    title = "owner"
    parameter_name = "of"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("system", "the system's own"), ("people", "people's own")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(owner__isnull=self.value() == "system")


class StateFilter(admin.SimpleListFilter):
    """By the words of `LLMCredential.state`."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in ("active", "quarantined", "expired", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        expired = Q(expires_at__lte=timezone.now())
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        states = {
            "deleted": Q(is_active=False),
            "expired": Q(is_active=True) & expired,
            "quarantined": Q(is_active=True, quarantined_at__isnull=False) & unexpired,
            "active": Q(is_active=True, quarantined_at=None) & unexpired,
        }
        return queryset.filter(states.get(self.value() or "", Q()))


@admin.register(LLMCredential)
class LLMCredentialAdmin(admin.ModelAdmin):
    """Staff enter keys for the system only; people enter their own on their pages."""

    list_display = (
        "provider", "label", "owner", "api_key_masked", "state", "model_name", "is_default",
        "is_simulated", "expires_at", "last_used_at",
    )  # fmt: skip
    list_filter = (StateFilter, OwnerFilter, "provider", "is_default", "is_simulated")
    search_fields = ("label", "owner__username", "owner__email", "last4", "fingerprint")
    list_select_related = ("owner",)
    date_hierarchy = "created_at"
    actions = ("test", "quarantine", "lift_quarantine", "deactivate")
    exclude = ("api_key",)  # the model's: the form's field of that name is not of the model
    key_fields = ("api_key", "base_url")
    settings_fields = ("label", "model_name", "params", "is_default", "expires_at")
    facts = (
        "id", "owner", "provider", "api_key_masked", "state", "quarantined_at",
        "quarantine_reason", "last_error", "fingerprint", "key_kid", "is_simulated",
        "last_used_at", "last_validated_at", "created_at", "updated_at", "deleted_at", "purged_at",
    )  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        change = ChangeKeyForm if obj and obj.owner_id else ChangeSystemKeyForm
        return super().get_form(
            request, obj, *args, **{"form": change if obj else SystemKeyForm, **kwargs}
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("provider", *self.key_fields, *self.settings_fields)
        if obj.owner_id or not self.has_change_permission(request, obj):
            return (*self.facts, "base_url", *self.settings_fields)
        return (*self.facts, *self.key_fields, *self.settings_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        return (*self.facts, "base_url") if obj.owner_id else self.facts

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A deleted key stays as it is."""
        return super().has_change_permission(request, obj) and (obj is None or obj.is_active)

    def get_actions(self, request: HttpRequest) -> Any:
        """`deactivate` is what deletes here."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The form's service has saved it."""

    def delete_model(self, request: HttpRequest, obj: LLMCredential) -> None:
        """Soft, as everywhere: the books need the row."""
        if obj.is_active:
            services.delete_credential(credential=obj)

    @admin.action(permissions=["change"], description="Test the selected keys")
    def test(self, request: HttpRequest, queryset: QuerySet[LLMCredential]) -> None:
        for credential in queryset:
            test = partial(services.validate_credential, credential=credential)
            report = report_test(credential.provider, test)
            self._say(request, credential, report.sentence, DEFAULT_LEVELS[report.level.upper()])

    @admin.action(permissions=["change"], description="Put the selected keys into quarantine")
    def quarantine(self, request: HttpRequest, queryset: QuerySet[LLMCredential]) -> None:
        for credential in queryset:
            if lifecycle.quarantine(credential.pk, "Staff put this key into quarantine."):
                self._say(request, credential, "No call uses it from now on.", messages.SUCCESS)
            else:
                self._say(request, credential, f"It is {credential.state}.", messages.WARNING)

    @admin.action(permissions=["change"], description="End the quarantine of the selected keys")
    def lift_quarantine(self, request: HttpRequest, queryset: QuerySet[LLMCredential]) -> None:
        for credential in queryset:
            if credential.is_active and credential.quarantined_at:
                lifecycle.lift_quarantine(credential)
                self._say(request, credential, "Calls may use it again.", messages.SUCCESS)
            else:
                self._say(request, credential, f"It is {credential.state}.", messages.WARNING)

    @admin.action(permissions=["change"], description="Deactivate the selected keys for good")
    def deactivate(self, request: HttpRequest, queryset: QuerySet[LLMCredential]) -> None:
        for credential in queryset:
            if credential.is_active:
                services.delete_credential(credential=credential)
                sentence = "Deactivated. Its sessions have ended, and its owner is told."
                self._say(request, credential, sentence, messages.SUCCESS)
            else:
                self._say(request, credential, "It is deleted already.", messages.WARNING)

    def _say(
        self, request: HttpRequest, credential: LLMCredential, sentence: str, level: int
    ) -> None:
        self.message_user(request, format_html("{}: {}", credential, sentence), level)


@admin.register(AccessToken)
class AccessTokenAdmin(admin.ModelAdmin):
    actions = ("revoke",)
    list_display = ("name", "user", "prefix", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    search_fields = ("name", "prefix", "user__username")
    list_select_related = ("user",)
    fields = (
        "name", "user", "prefix", "scopes", "credential", "cache_seconds", "made_by", "expires_at",
        "revoked_at", "last_used_at", "created_at",
    )  # fmt: skip
    readonly_fields = fields  # what changes them is in the audit trail

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(permissions=["change"], description="Revoke the selected access tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[AccessToken]) -> None:
        for token in queryset:
            tokens.revoke_token(token=token)


@admin.register(ModelAlias)
class ModelAliasAdmin(admin.ModelAdmin):
    """People's names for models. Whose an alias is can't be changed."""

    list_display = ("name", "owner", "provider", "model_name", "credential", "updated_at")
    list_filter = ("provider",)
    search_fields = ("name", "model_name", "owner__username")
    list_select_related = ("owner", "credential")
    raw_id_fields = ("owner", "credential")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("owner",) if obj else ()


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = (
        "position", "at", "actor_name", "action", "object_type", "object_id", "outcome",
        "provider", "last4", "address",
    )  # fmt: skip
    list_filter = ("action", "outcome", "object_type", "provider")
    search_fields = ("actor_name", "object_id", "last4", "detail")


@admin.register(AuditHead)
class AuditHeadAdmin(ReadOnlyAdmin):
    list_display = ("position", "digest")


@admin.register(VaultCanary)
class VaultCanaryAdmin(ReadOnlyAdmin):
    list_display = ("kid", "created_at")
    fields = ("kid", "created_at")
