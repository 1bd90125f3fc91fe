"""Staff's view of the ledger: to look at, never to change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from byom.readonly_admin import ReadOnlyAdmin
from providers import registry
from usage.budget_forms import LimitForm
from usage.models import (
    Alert,
    AlertDelivery,
    AlertPreference,
    Budget,
    Change,
    DailyUsage,
    PendingRollup,
    PriceList,
    PriceOverride,
    Reconciliation,
    ReconciliationRow,
    Reservation,
    RollupLock,
    UsageRecord,
)

NO_PRICE_ROWS = 200


@admin.register(UsageRecord)
class UsageRecordAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at", "user", "surface", "provider", "model", "input_tokens", "output_tokens",
        "cost_usd", "latency_ms", "status", "paid_by", "is_simulated",
    )  # fmt: skip
    list_filter = ("surface", "provider", "status", "paid_by", "is_simulated", "usage_source")
    search_fields = ("id", "user__username", "model", "request_id", "error_code")
    list_select_related = ("user",)
    show_full_result_count = False  # counting a large ledger takes longer than showing it


@admin.register(DailyUsage)
class DailyUsageAdmin(ReadOnlyAdmin):
    list_display = (
        "day", "owner", "dimension", "value", "calls", "failed", "input_tokens", "output_tokens",
        "cost_usd", "unpriced",
    )  # fmt: skip
    list_filter = ("dimension",)
    search_fields = ("value",)
    date_hierarchy = "day"
    show_full_result_count = False


@admin.register(PendingRollup, RollupLock)
class RollupWorkAdmin(ReadOnlyAdmin):
    """What the roll-up job works with: rows stand here for seconds."""

    show_full_result_count = False


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """That something was changed which server processes remember. A note stands here for minutes:
    what was changed, and by whom, the audit trail knows."""

    list_display = ("pk", "at")
    ordering = ("-pk",)


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin):
    """Everyone's budgets. Naming no person, token or credential makes one for everyone."""

    form = LimitForm
    list_display = (
        "name", "whose", "owner", "period", "is_rolling", "unit", "limit", "spent", "reserved",
        "percent", "is_hard", "is_active",
    )  # fmt: skip
    list_filter = ("is_active", "is_hard", "unit", "period")
    search_fields = ("name", "user__username", "owner__username")
    list_select_related = ("user", "owner", "access_token", "credential")
    raw_id_fields = ("user", "access_token", "credential")
    readonly_fields = ("owner", "spent", "reserved", "counted_from", "rolls_at")


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("call_id", "budget", "units", "expires_at")
    list_select_related = ("budget",)


@admin.register(PriceOverride)
class PriceOverrideAdmin(admin.ModelAdmin):
    """Prices that staff enter. For calls of the past, `manage.py reprice` books them."""

    list_display = (
        "model", "provider", "effective_from", "input_mtok", "output_mtok", "cache_read_mtok",
        "cache_write_mtok", "reasoning_mtok", "long_above", "note",
    )  # fmt: skip
    list_filter = ("provider",)
    search_fields = ("model", "note")
    date_hierarchy = "effective_from"
    change_list_template = "admin/usage/priceoverride/change_list.html"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "provider":
            options["widget"] = forms.Select(
                choices=[(name, registry.label(name)) for name in registry.names()]
            )
        return super().formfield_for_dbfield(db_field, request, **options)

    def get_urls(self) -> list[Any]:
        own = self.admin_site.admin_view(self.no_price)
        return [path("no-price/", own, name="usage_no_price"), *super().get_urls()]

    def no_price(self, request: HttpRequest) -> HttpResponse:
        """Models that answered calls whose price is not known, with a way to enter it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Models without a price",
            "rows": UsageRecord.objects.without_price()[:NO_PRICE_ROWS],
            "may_add": self.has_add_permission(request),
            "opts": self.model._meta,
        }
        return TemplateResponse(request, "admin/usage/no_price.html", context)


@admin.register(PriceList)
class PriceListAdmin(ReadOnlyAdmin):
    """What `manage.py update_prices` has fetched. None: the package's own prices are in use."""

    list_display = ("fetched_at", "origin", "known_models", "package")
    exclude = ("data",)


@admin.register(AlertPreference)
class AlertPreferenceAdmin(ReadOnlyAdmin):
    list_display = ("user", "budget", "spike", "errors", "keys", "by_mail")
    exclude = ("webhook_url",)  # it may hold a secret
    list_select_related = ("user",)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "user", "kind", "title")
    list_filter = ("kind",)
    list_select_related = ("user",)


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("alert", "channel", "attempts", "next_at", "delivered_at", "last_error")
    list_filter = ("channel",)
    list_select_related = ("alert",)


@admin.register(Reconciliation, ReconciliationRow)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "ours_usd", "theirs_usd", "drift")
