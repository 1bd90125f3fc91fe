"""Rows for calls that are made below this app."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from credentials.signals import key_validated
from credentials.validation import ValidationOutcome
from usage.models import PaidBy, Status, Surface, UsageRecord, UsageSource


@receiver(key_validated)
def book_validation(sender: Any, outcome: ValidationOutcome, **kwargs: Any) -> None:
    """A models-list call: no tokens, and free at every provider."""
    UsageRecord.objects.create(
        user_id=outcome.owner_id,
        credential_id=outcome.credential_id,
        surface=Surface.VALIDATION,
        provider=outcome.provider,
        model="",
        usage_source=UsageSource.REPORTED,
        cost_usd=0,
        price_source="free of charge",
        latency_ms=outcome.latency_ms,
        status=Status.ERROR if outcome.error_code else Status.OK,
        error_code=outcome.error_code,
        paid_by=PaidBy.USER if outcome.owner_id else PaidBy.SYSTEM,
        is_simulated=outcome.is_simulated,
    )
