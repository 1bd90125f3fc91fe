"""What calls out of a lease have cost, charged to their budgets a moment after their rows.

All calls of a person change the same budget: that took PostgreSQL a quarter as long as the row and
its way to the disk, and servers waited there for one another. So where an event loop writes rows
(`usage.loop_commit`) it adds up what they cost, and a thread charges that some times a second.
Nothing is lost by it, or counted twice:

- Until then the calls' part of their lease stays set aside (`usage.leases`): nobody else is
  promised it.
- Where the process is killed meanwhile its lease is taken back in the end, and the budget counted
  anew (`usage.budgets.reclaim`); likewise if it is unknown whether a charge has been written.
- Where the budget is counted anew meanwhile, it knows which transactions that count has seen
  (`Budget.snapshot`), and what those wrote is left out.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from usage.budget_models import Budget
from usage.budgets import COUNTERS, count, locked
from usage.snapshots import Snapshot

logger = logging.getLogger(__name__)

SECONDS = 0.2  # from the first row to the charge


class Charge(NamedTuple):
    """What the rows of one transaction count in one budget: its number, when, and how much."""

    transaction: int
    at: datetime
    units: int


Owed = dict[int, list[Charge] | None]
"""By budgets' ids as numbers; None where it has to be counted anew."""


_CHARGE = """
    UPDATE usage_budget b SET spent_units = b.spent_units + c.units
    FROM json_to_recordset(%s) AS c(id uuid, units bigint) WHERE b.id = c.id
"""


class _Arranged:
    """Whether somebody sees to it that `charge_all` is called."""

    is_so = False


_lock = threading.Condition(threading.Lock())  # never held while the database is asked
_waiting: Owed = {}
_under_way: set[int] = set()  # what somebody charges just now


def note(sums: Iterable[tuple[int, int]], number: int, at: datetime) -> bool:
    """Rows have been written by the transaction of that number; True if from now on something
    waits: who is told so sees to it that `charge_all` is called soon."""
    with _lock:
        for key, units in sums:
            if not units:
                continue
            charges = _waiting.setdefault(key, [])
            if charges is not None:
                charges.append(Charge(number, at, units))
        is_news = bool(_waiting) and not _Arranged.is_so
        _Arranged.is_so = bool(_waiting)
    return is_news


def charge_all() -> None:
    """Charges what waits: most budgets together in a short transaction, and each that has to be
    counted anew in one of its own, as that takes its time. Uses the database."""
    with _taken() as owed:
        _charge_together(owed)
        for key in list(owed):
            try:
                _charge_alone(key, owed)
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:  # the others must not wait for this one
                logger.warning("A budget was not charged: %s", type(error).__name__)


@contextmanager
def owed_to(pk: uuid.UUID) -> Iterator[Owed]:
    """What waits to be charged to that budget. Its charge is to be committed before this ends; if
    it ends badly nobody knows whether it was, and the budget is counted anew in the end."""
    with _taken(pk.int) as owed:
        yield owed
        owed.clear()


def add_owed(budget: Budget, owed: Owed, now: datetime) -> None:
    """Charges a locked budget; it is for the caller to save its COUNTERS."""
    charges = owed.get(budget.pk.int, [])
    if charges is None or budget.rolls_at <= now or _is_of_elsewhere(budget.snapshot, charges):
        count(budget, now)
    else:
        budget.spent_units += _units(charges, budget.counted_from, budget.snapshot)


def forget_all() -> None:
    """What waits is found again when the leases that it belongs to are taken back."""
    with _lock:
        _waiting.clear()
        _Arranged.is_so = False


@contextmanager
def _taken(only: int | None = None) -> Iterator[Owed]:
    """What waits, for all budgets or one. What is left in it at the end, however that comes, has
    not been charged for sure. Until then nobody else gets at these budgets' charges, but may add
    more: room that is given back before they are charged would be promised twice."""
    with _lock:
        _lock.wait_for(lambda: _under_way.isdisjoint(_waiting if only is None else (only,)))
        if only is None:
            owed = _waiting.copy()
            _waiting.clear()
            _Arranged.is_so = False
        else:
            owed = {only: _waiting.pop(only, [])}
        keys = set(owed)
        _under_way.update(keys)
    try:
        yield owed
    finally:
        with _lock:
            _waiting.update({key: None for key, charges in owed.items() if charges != []})
            _under_way.difference_update(keys)
            _lock.notify_all()


def _charge_together(owed: Owed) -> None:
    """Those that need no count, which are `owed` nothing any more then."""
    keys = [key for key, charges in owed.items() if charges is not None]
    done = set(keys)
    with transaction.atomic():
        now, sums = timezone.now(), []
        budgets = Budget.objects.locked().filter(pk__in=[uuid.UUID(int=key) for key in keys])
        for pk, since, until, snapshot in budgets.values_list(
            "pk", "counted_from", "rolls_at", "snapshot"
        ):
            charges = owed[pk.int] or []
            if until <= now or _is_of_elsewhere(snapshot, charges):
                done.remove(pk.int)
            else:
                sums.append({"id": str(pk), "units": _units(charges, since, snapshot)})
        if sums:
            with connection.cursor() as cursor:
                cursor.execute(_CHARGE, [json.dumps(sums)])
    for key in done:
        del owed[key]


def _charge_alone(key: int, owed: Owed) -> None:
    with transaction.atomic():
        now = timezone.now()
        if budget := locked(uuid.UUID(int=key), now):
            add_owed(budget, owed, now)
            budget.save(update_fields=COUNTERS)
    del owed[key]


def _units(charges: Sequence[Charge], since: datetime, snapshot: str) -> int:
    """What is left to charge of it in a budget that was counted from `since` on."""
    seen = Snapshot.read(snapshot) if snapshot else None
    return sum(
        charge.units
        for charge in charges
        if charge.at >= since and not (seen and seen.sees(charge.transaction))
    )


def _is_of_elsewhere(snapshot: str, charges: Sequence[Charge]) -> bool:
    """Whether it was taken in another cluster, whose data has been brought here: its numbers of
    transactions are ahead of those of this one, and say nothing. Of most snapshots the charges tell
    that they are not; else the database is asked, after the budget was locked: by what it said
    before a wait for the lock, a count during that wait would seem to be from elsewhere."""
    if not (snapshot and charges):
        return False
    end = Snapshot.read(snapshot).end
    if end <= max(charge.transaction for charge in charges):
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        return end > Snapshot.read(cursor.fetchone()[0]).end
