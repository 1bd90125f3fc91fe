"""Staff's view of the ledger: to look at, never to change."""

from __future__ import annotations

from django.contrib import admin

from byom.readonly_admin import ReadOnlyAdmin
from usage.models import DailyUsage, PendingRollup, RollupLock, UsageRecord


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
