"""Staff's view of the benchmark runs: to look at, never to change."""

from __future__ import annotations

from django.contrib import admin

from benchmarks.models import BenchmarkRun, BenchmarkSample, BenchmarkSchedule, BenchmarkShard
from byom.readonly_admin import ReadOnlyAdmin


@admin.register(BenchmarkRun)
class BenchmarkRunAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "owner", "status", "done", "total", "is_simulated", "finished_at")
    list_filter = ("status", "is_simulated")
    search_fields = ("id", "owner__username")
    list_select_related = ("owner",)


@admin.register(BenchmarkShard)
class BenchmarkShardAdmin(ReadOnlyAdmin):
    list_display = ("run", "number", "heartbeat_at", "ended_at", "ended_as", "error")
    list_filter = ("ended_as",)
    search_fields = ("run__id",)
    list_select_related = ("run",)


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


@admin.register(BenchmarkSchedule)
class BenchmarkScheduleAdmin(ReadOnlyAdmin):
    list_display = ("name", "owner", "every", "next_at", "is_active", "last_due_at", "note")
    list_filter = ("every", "is_active")
    search_fields = ("id", "name", "owner__username")
    list_select_related = ("owner",)
