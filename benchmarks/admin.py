"""Staff's view of the benchmark runs: to look at, never to change."""

from __future__ import annotations

from django.contrib import admin

from benchmarks.models import BenchmarkRun, BenchmarkSample
from byom.readonly_admin import ReadOnlyAdmin


@admin.register(BenchmarkRun)
class BenchmarkRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "owner", "status", "is_simulated", "finished_at")
    list_filter = ("status", "is_simulated")
    search_fields = ("id", "owner__username")
    list_select_related = ("owner",)


@admin.register(BenchmarkSample)
class BenchmarkSampleAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at", "run", "provider", "model", "prompt", "round", "latency_ms", "ttft_ms",
        "cost_usd", "status", "is_cold", "is_outlier",
    )  # fmt: skip
    list_filter = ("status", "provider", "is_cold", "is_outlier")
    search_fields = ("run__id", "record_id", "model", "error_code")
    list_select_related = ("run",)
    show_full_result_count = False
