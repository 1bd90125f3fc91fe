"""Staff's view of sessions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.models import AgentSession, Message, SelectionPolicy, ToolServer
from agents.tool_servers import delete_tool_server


class MessageInline(admin.TabularInline):
    model = Message
    extra = 0
    can_delete = False
    fields = ("position", "role", "text", "parts", "record", "created_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AgentSession)
class AgentSessionAdmin(admin.ModelAdmin):
    list_display = ("title", "owner", "status", "provider", "model", "updated_at")
    list_filter = ("status", "provider")
    search_fields = ("id", "title", "goal", "owner__username")
    list_select_related = ("owner",)
    readonly_fields = ("id", "owner", "credential", "heartbeat_at", "created_at", "updated_at")
    inlines = (MessageInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin):
    list_display = ("session", "position", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("session__id", "session__title", "text")
    list_select_related = ("session",)
    readonly_fields = ("session", "position", "role", "text", "parts", "record", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(ToolServer)
class ToolServerAdmin(admin.ModelAdmin):
    """To be looked at and deleted: whoever changed the URL would send somebody's token there."""

    list_display = ("name", "owner", "url", "token_masked", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name", "url", "owner__username")
    list_select_related = ("owner",)
    fields = (
        "id", "owner", "name", "url", "token_masked", "key_kid", "is_active", "created_at",
        "updated_at", "deleted_at",
    )  # fmt: skip
    readonly_fields = fields
    actions = ("delete_servers",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the action keeps the row, for the trail

    @admin.action(description="Delete the selected tool servers", permissions=["change"])
    def delete_servers(self, request: HttpRequest, queryset: QuerySet[ToolServer]) -> None:
        servers = list(queryset.filter(is_active=True))
        for server in servers:
            delete_tool_server(server=server)
        self.message_user(request, f"{len(servers)} tool servers deleted, with their tokens.")


@admin.register(SelectionPolicy)
class SelectionPolicyAdmin(admin.ModelAdmin):
    list_display = ("user", "policy", "system_key_forbidden")
    list_filter = ("policy", "system_key_forbidden")
    search_fields = ("user__username",)
    list_select_related = ("user",)
    autocomplete_fields = ("user",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("user",) if obj else ()
