from __future__ import annotations

from rest_framework import serializers

from usage.models import UsageRecord


class UsageRecordSerializer(serializers.ModelSerializer[UsageRecord]):
    """One ledger row. `cost_usd` is a decimal string, null where no price is known."""

    class Meta:
        model = UsageRecord
        fields = (
            "id", "surface", "provider", "model", "model_served", "input_tokens", "output_tokens",
            "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
            "reasoning_tokens", "service_tier", "usage_source",
            "cost_usd", "unit_prices", "price_source", "latency_ms", "ttft_ms", "status",
            "error_code", "retries", "attempt_of", "corrects_id", "paid_by", "is_simulated",
            "credential_id", "session_id", "request_id", "created_at",
        )  # fmt: skip
        read_only_fields = fields
