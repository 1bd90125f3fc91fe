"""Corrections: what calls of the past should have cost, at the prices that are known now.

A call's row stays as it is. Where its cost is not right, a row is added that `corrects` it: the
difference as its cost, the prices used and their source, no tokens.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from credentials import trail
from providers.vocabulary import Usage
from usage.models import Budget, UsageQuerySet, UsageRecord, UsageSource
from usage.prices import FREE, Price, price_of

_COPIED = (
    "user_id", "credential_id", "access_token_id", "session_id", "surface", "provider", "model",
    "model_served", "status", "paid_by", "is_simulated",
    "service_tier",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """What one call's cost is put right by. `booked` is None where it had no price."""

    record: UsageRecord
    booked: Decimal | None
    price: Price

    @property
    def difference(self) -> Decimal:
        return (self.price.cost or Decimal(0)) - (self.booked or Decimal(0))


def changes(rows: UsageQuerySet) -> Iterator[Change]:
    """What `reprice` would book for those of `rows` that used tokens and were not free of charge.
    Where no price is known now, what was booked stays."""
    calls = rows.filter(corrects=None).exclude(price_source=FREE.source)
    calls = calls.exclude(input_tokens=0, output_tokens=0)
    for record in calls.order_by("created_at", "id").iterator(chunk_size=1000):
        if (change := _change(record)) is not None:
            yield change


def _change(record: UsageRecord) -> Change | None:
    price = price_of(
        provider=record.provider,
        models=(record.model_served, record.model),
        usage=_usage(record),
        at=record.created_at,
    )
    booked = _booked(record)
    return None if price.cost is None or price.cost == booked else Change(record, booked, price)


def _usage(record: UsageRecord) -> Usage:
    return Usage(
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cache_read_tokens=record.cache_read_tokens,
        cache_write_tokens=record.cache_write_tokens,
        reasoning_tokens=record.reasoning_tokens,
        cache_write_1h_tokens=record.cache_write_1h_tokens,
        service_tier=record.service_tier,
    )


def _booked(record: UsageRecord) -> Decimal | None:
    """The row's cost with its corrections; None if there has never been one."""
    corrections = UsageRecord.objects.filter(corrects=record)
    added: Decimal | None = corrections.aggregate(sum=Sum("cost_usd"))["sum"]
    if added is None:
        return record.cost_usd
    return (record.cost_usd or Decimal(0)) + added


def book(found: Iterable[Change]) -> Generator[Change]:
    """Books what `changes` has found, as long as it still holds, and tells what was booked. The
    audit trail says who did so, also when it is broken off."""
    count, total = 0, Decimal(0)
    try:
        for change in found:
            if (booked := reprice(change.record)) is not None:
                count, total = count + 1, total + booked.difference
                yield booked
    finally:
        if count:
            trail.record(trail.Action.REPRICE, None, detail=f"{count} calls, {total:+f} USD")


def reprice(record: UsageRecord) -> Change | None:
    """Books the correction that the row needs now, if any. The row is locked meanwhile, so that
    two at once do not correct it twice."""
    with transaction.atomic():
        locked = UsageRecord.objects.select_for_update(of=("self",)).get(pk=record.pk)
        change = _change(locked)
        if change is not None:
            _correction(change).save()
            budgets = Budget.objects.over(
                user_id=locked.user_id,
                access_token_id=locked.access_token_id,
                credential_id=locked.credential_id,
            )
            budgets.count_anew()
    return change


def _correction(change: Change) -> UsageRecord:
    return UsageRecord(
        **{name: getattr(change.record, name) for name in _COPIED},
        corrects=change.record,
        usage_source=UsageSource.REPORTED,
        cost_usd=change.difference,
        unit_prices=change.price.units,
        price_source=change.price.source,
        latency_ms=0.0,
    )
