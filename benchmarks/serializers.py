from __future__ import annotations

from typing import Any

from rest_framework import serializers

from benchmarks.models import BenchmarkRun, BenchmarkSample, BenchmarkSchedule


class RunListSerializer(serializers.ModelSerializer[BenchmarkRun]):
    """A run without what fills pages; `contenders` are provider and model of each."""

    contenders = serializers.JSONField()

    class Meta:
        model = BenchmarkRun
        fields = (
            "id", "status", "done", "total", "is_simulated", "contenders", "schedule_id",
            "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class RunSerializer(serializers.ModelSerializer[BenchmarkRun]):
    """`plan`, `environment`, `summary`, `sweep`, `verdicts` and `harness_error_ms` as in the JSON
    file of `schema_version`; all but the first are empty until the run is over."""

    harness_error_ms = serializers.JSONField(source="harness_error")

    class Meta:
        model = BenchmarkRun
        fields = (
            "id", "status", "done", "total", "error", "cancel_requested", "is_simulated",
            "schema_version", "plan", "environment", "summary", "sweep", "verdicts",
            "harness_error_ms", "schedule_id", "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class SampleSerializer(serializers.ModelSerializer[BenchmarkSample]):
    """One call. `cost_usd` is a decimal string, null where no price is known."""

    concurrency = serializers.IntegerField(source="level")

    class Meta:
        model = BenchmarkSample
        fields = (
            "order", "block", "provider", "model", "credential_id", "prompt", "round",
            "concurrency", "is_cold", "is_outlier", "is_simulated", "started_at", "status",
            "error_code", "error", "finish_reason", "latency_ms", "ttft_ms", "first_event_ms",
            "first_visible_ms", "last_token_ms", "connect_ms", "prepare_ms", "wait_ms",
            "true_latency_ms", "true_ttft_ms", "model_served", "input_tokens", "output_tokens",
            "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "counted_tokens",
            "usage_source", "cost_usd", "price_source", "passed", "failed_checks", "preview",
            "paid_by", "record_id",
        )  # fmt: skip
        read_only_fields = fields


class ScheduleSerializer(serializers.ModelSerializer[BenchmarkSchedule]):
    """`plan` as of a run; `note` is why the time that was due last was skipped, if it was."""

    last_run_id = serializers.SerializerMethodField()

    class Meta:
        model = BenchmarkSchedule
        fields = (
            "id", "name", "every", "hours", "at", "weekday", "time_zone", "is_active", "plan",
            "next_at", "last_due_at", "last_run_id", "note", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("plan", "next_at", "last_due_at", "note")

    def get_last_run_id(self, schedule: BenchmarkSchedule) -> Any:
        return schedule.runs.values_list("pk", flat=True).first()
