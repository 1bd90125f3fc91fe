"""Staff's view of the ledger: to look at, never to change."""

from __future__ import annotations

from django.contrib import admin

from byom.readonly_admin import ReadOnlyAdmin
from usage.budget_forms import LimitForm
from usage.models import (
    Budget,
    DailyUsage,
    PendingRollup,
    Reservation,
    RollupLock,
    UsageRecord,
)


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
