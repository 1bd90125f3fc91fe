"""Rows for calls that are made below this app."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from credentials.signals import key_validated
from credentials.validation import ValidationOutcome
from usage.models import PaidBy, Status, Surface, UsageRecord, UsageSource
from usage.signals import Settled, calls_settled

logger = logging.getLogger("usage.calls")


@receiver(key_validated)
def book_validation(sender: Any, outcome: ValidationOutcome, **kwargs: Any) -> None:
    """A models-list call: no tokens, and free at every provider."""
    record = UsageRecord.objects.create(
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
    calls_settled.send_robust(UsageRecord, calls=[Settled(record, "list_models", 0.0, 0.0)])


@receiver(calls_settled)
def log_calls(sender: Any, calls: Sequence[Settled], **kwargs: Any) -> None:
    """One line for each call; in JSON its facts are fields."""
    if logger.isEnabledFor(logging.INFO):
        for call in calls:
            _log(call.record)


def _log(record: UsageRecord) -> None:
    facts = {
        "call_id": str(record.id),
        "surface": record.surface,
        "provider": record.provider,
        "model": record.model,
        "status": record.status,
        "error_code": record.error_code,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "cost_usd": None if record.cost_usd is None else f"{record.cost_usd:f}",
        "latency_ms": round(record.latency_ms, 1),
    }
    logger.info("Call %s to %s: %s", record.id, record.provider, record.status, extra=facts)
