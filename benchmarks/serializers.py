from __future__ import annotations

from rest_framework import serializers

from benchmarks.models import BenchmarkRun, BenchmarkSample


class RunListSerializer(serializers.ModelSerializer[BenchmarkRun]):
    """A run without what fills pages; `contenders` are provider and model of each."""

    contenders = serializers.JSONField(source="plan.contenders")

    class Meta:
        model = BenchmarkRun
        fields = ("id", "status", "is_simulated", "contenders", "started_at", "finished_at")
        read_only_fields = fields


class RunSerializer(serializers.ModelSerializer[BenchmarkRun]):
    """`plan`, `environment`, `summary` and `verdicts` as in the JSON file of `schema_version`."""

    class Meta:
        model = BenchmarkRun
        fields = (
            "id", "status", "is_simulated", "schema_version", "plan", "environment", "summary",
            "verdicts", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class SampleSerializer(serializers.ModelSerializer[BenchmarkSample]):
    """One call. `cost_usd` is a decimal string, null where no price is known."""

    class Meta:
        model = BenchmarkSample
        fields = (
            "order", "block", "provider", "model", "prompt", "round", "is_cold", "is_outlier",
            "started_at", "status", "error_code", "latency_ms", "ttft_ms", "last_token_ms",
            "input_tokens", "output_tokens", "cost_usd", "record_id",
        )  # fmt: skip
        read_only_fields = fields
