"""What a call sets aside in its budgets, and what it leaves spent.

`reserve` before the call, `charge` in the transaction that writes its ledger row, `reclaim` for
calls that never came back. Most calls of a gateway do without the first two (`usage.leases`,
`usage.charges`). Whoever holds several budgets takes them in the order of their keys, so that no
two wait for each other.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models, transaction
from django.db.models import Func, Subquery
from django.utils import timezone

from providers.vocabulary import Usage
from usage.budget_models import NEVER_COUNTED, Budget, Reservation, Unit, nano_usd
from usage.memory import Memory, forget_on_change, looks
from usage.models import UsageQuerySet, UsageRecord
from usage.periods import LENGTHS, Period
from usage.snapshots import snapshot_of_this_statement

BATCH = 500
COUNTERS = ["spent_units", "reserved_units", "counted_from", "rolls_at", "snapshot"]
# So long after a change a budget is counted once more: other processes remember the budgets of a
# second ago, and do not charge this one until then.
SETTLING = timedelta(seconds=3)
_AMOUNT = models.DecimalField(max_digits=30, decimal_places=9)


class Parties(NamedTuple):
    """Whom a call may count for."""

    user_id: Any
    access_token_id: int | None
    credential_id: uuid.UUID | None


_over: Memory[Parties, tuple[Budget, ...]] = Memory()
forget_on_change([_over], [Budget], but=frozenset(COUNTERS))


class Intent(NamedTuple):
    """A call before it is made. `cost` is the most that it can cost, None if that is unknown."""

    call_id: uuid.UUID
    most: Usage
    cost: Decimal | None

    def units(self, budget: Budget) -> int:
        if budget.unit == Unit.TOKENS:
            return self.most.total_tokens
        return nano_usd(self.cost or Decimal(0))


class NoRoom(Exception):
    """This budget has no room for that call. `admission` says it to people."""

    def __init__(self, budget: Budget, units: int) -> None:
        self.budget, self.units = budget, units
        super().__init__(type(self).__doc__)


class NoPrice(Exception):
    """This budget refuses calls without a known price. `admission` says it to people."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        super().__init__(type(self).__doc__)


def reserve(intent: Intent, budgets: Iterable[Budget]) -> list[Budget]:
    """Sets the most that a call can cost aside in each of `budgets`, or in none. Returns the soft
    ones that have no room left for it. Raises NoRoom and NoPrice."""
    counted = fresh(budgets)  # committed on its own, so that a refusal does not undo it
    with transaction.atomic():
        return [budget for budget in counted if not _hold(budget, intent)]


def _hold(budget: Budget, intent: Intent) -> bool:
    """False if the budget is soft, and was overdrawn."""
    if budget.refuses(intent.cost):
        raise NoPrice(budget)
    units, now = intent.units(budget), timezone.now()
    if not Budget.objects.take(budget.pk, units, hard=budget.is_hard, now=now):
        seen = locked(budget.pk, now)
        if seen is None:
            return True  # deleted a moment ago
        if not Budget.objects.take(budget.pk, units, hard=budget.is_hard, now=now):
            raise NoRoom(seen, units)
    expires_at = now + timedelta(seconds=settings.RESERVATION_SECONDS)
    Reservation.objects.create(
        call_id=intent.call_id, budget=budget, units=units, expires_at=expires_at
    )
    return budget.is_hard or not _is_overdrawn(budget.pk)


def _is_overdrawn(pk: uuid.UUID) -> bool:
    """As it is now: what is remembered of a budget may have older counters."""
    taken = models.F("spent_units") + models.F("reserved_units")
    return Budget.objects.filter(pk=pk, limit_units__lt=taken).exists()


def locked(pk: uuid.UUID, now: datetime) -> Budget | None:
    """The budget as it is, counted anew if that is due, and locked; None if it is gone."""
    budget = Budget.objects.locked().filter(pk=pk).first()
    if budget is not None and budget.rolls_at <= now:
        count(budget, now)
        budget.save(update_fields=COUNTERS)
    return budget


def count(budget: Budget, now: datetime) -> None:
    """Adds up the ledger; it is for the caller to save COUNTERS. The budget's row is locked, so
    that what is settled meanwhile is added afterwards; what is in the same transaction is seen."""
    budget.counted_from, budget.rolls_at = budget.window(now)
    if now < budget.updated_at + SETTLING:
        budget.rolls_at = min(budget.rolls_at, budget.updated_at + SETTLING)
    rows = UsageRecord.objects.filter(**_scope(budget))
    start = budget.counted_from
    plain = rows.filter(corrects=None, created_at__gte=start)
    corrections = rows.filter(corrects__isnull=False, corrects__created_at__gte=start)
    # In one statement, so that the snapshot is that of both sums.
    parts = _sum(budget, plain), _sum(budget, corrections), snapshot_of_this_statement()
    calls, corrected, budget.snapshot = Budget.objects.values_list(*parts).get(pk=budget.pk)
    budget.spent_units = sum(budget.units(total or Decimal(0)) for total in (calls, corrected))


def _scope(budget: Budget) -> dict[str, Any]:
    return {name: pk for name, pk in parties_of(budget)._asdict().items() if pk is not None}


def _sum(budget: Budget, rows: UsageQuerySet) -> Subquery:
    """In dollars or tokens, null for no rows."""
    tokens = models.F("input_tokens") + models.F("output_tokens")
    what = tokens if budget.unit == Unit.TOKENS else models.F("cost_usd")
    # Not Django's Sum: in a subquery that would be one for each row, grouped by its key.
    total = Func(what, function="SUM", output_field=_AMOUNT)
    return Subquery(rows.order_by().values(total=total))


def charge(records: Sequence[UsageRecord]) -> None:
    """Takes back what the calls had set aside by themselves, and adds what they did cost.

    Belongs into the transaction that wrote `records`: all of it is there, or nothing.
    """
    reservations = Reservation.objects.filter(call_id__in=[record.pk for record in records])
    counting: dict[uuid.UUID, list[UsageRecord]] = defaultdict(list)
    for record in records:
        for budget in over(record):
            counting[budget.pk].append(record)
    pks = counting.keys() | set(reservations.values_list("budget_id", flat=True))
    if not pks:
        return
    now = timezone.now()
    for budget in Budget.objects.locked().filter(pk__in=pks):
        _release(budget, reservations.filter(budget=budget))
        if budget.rolls_at <= now:
            count(budget, now)
        else:
            rows = [row for row in counting[budget.pk] if row.created_at >= budget.counted_from]
            budget.spent_units += sum(map(budget.units_of, rows))
        budget.save(update_fields=COUNTERS)


def over(row: UsageRecord | Parties) -> tuple[Budget, ...]:
    """The budgets that a call counts in, with the limits that they had within the last second;
    their counters may be older. May use the database."""
    parties = row if isinstance(row, Parties) else parties_of(row)
    found = known_over(parties)
    return read_over(parties) if found is None else found


def parties_of(row: Budget | UsageRecord) -> Parties:
    return Parties(row.user_id, row.access_token_id, row.credential_id)


def read_over(parties: Parties) -> tuple[Budget, ...]:
    """The same for who may ask the database, which is looked at in any case."""
    looks.look()
    if (known := _over.known(parties)) is not None:
        return known
    age = _over.age
    found = tuple(Budget.objects.over(**parties._asdict()))
    _over.keep(parties, found, age)
    return found


def known_over(parties: Parties) -> tuple[Budget, ...] | None:
    """The same without the database; None if that has to be asked."""
    return _over.get(parties)


def _release(budget: Budget, reservations: models.QuerySet[Reservation]) -> int:
    """Of a locked budget, so that no reservation is given back twice."""
    rows = dict(reservations.values_list("pk", "units"))
    Reservation.objects.filter(pk__in=rows).delete()
    budget.reserved_units -= sum(rows.values())
    return len(rows)


def cancel(call_id: uuid.UUID) -> None:
    """Takes back what a call had set aside that was not made after all."""
    with transaction.atomic():
        budgets = Budget.objects.select_for_update(of=("self",)).filter(
            reservations__call_id=call_id
        )
        for budget in budgets.order_by("pk"):
            _release(budget, budget.reservations.filter(call_id=call_id))
            budget.save(update_fields=["reserved_units"])


def reclaim() -> int:
    """Takes back what is set aside for calls that have not come back in time: the process died
    in the middle. What it may not have charged any more (`usage.charges`) is in the ledger: the
    budget is counted anew. For a timer; returns how many."""
    count = 0
    stale = Reservation.objects.filter(expires_at__lte=timezone.now())
    for pk in sorted(set(stale.values_list("budget_id", flat=True))):
        with transaction.atomic():
            budget = Budget.objects.select_for_update().filter(pk=pk).first()
            if budget is not None:
                count += _release(budget, stale.filter(budget=budget)[:BATCH])
                budget.rolls_at = NEVER_COUNTED
                budget.save(update_fields=["reserved_units", "rolls_at"])
    return count


def next_room(budget: Budget) -> datetime:
    """When there is room again: the period ends, or a rolling one's oldest row is out of it."""
    if not budget.is_rolling:
        return budget.resets_at
    rows = UsageRecord.objects.filter(**_scope(budget), created_at__gte=budget.counted_from)
    oldest = rows.order_by("created_at").values_list("created_at", flat=True).first()
    if oldest is None:
        return budget.resets_at
    return max(oldest + LENGTHS[Period(budget.period)], budget.resets_at)


def fresh(budgets: Iterable[Budget]) -> list[Budget]:
    """What is due has been counted anew; what has been deleted meanwhile is left out."""
    now = timezone.now()
    return [row for row in (_up_to_date(b, now) for b in budgets) if row is not None]


def _up_to_date(budget: Budget, now: datetime) -> Budget | None:
    return budget if budget.rolls_at > now else recount(budget.pk)


def recount(pk: uuid.UUID) -> Budget | None:
    """The budget, counted anew if that is due; None if it is gone."""
    with transaction.atomic():
        return locked(pk, timezone.now())
