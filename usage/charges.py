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

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from usage.budget_models import Budget
from usage.budgets import COUNTERS, count
from usage.snapshots import Snapshot

SECONDS = 0.2  # from the first row to the charge


class Charge(NamedTuple):
    """What the rows of one transaction count in one budget: its number, when, and how much."""

    transaction: int
    at: datetime
    units: int


Owed = Mapping[int, Sequence[Charge] | None]
"""By budgets' ids as numbers; None where it has to be counted anew."""


class _Arranged:
    """Whether somebody sees to it that `charge_all` is called."""

    is_so = False


_lock = threading.Lock()
_waiting: dict[int, list[Charge] | None] = {}


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
    """Charges what waits. Uses the database."""
    with _taken() as owed, transaction.atomic():
        if not owed:
            return
        now, changed = timezone.now(), []
        for budget in Budget.objects.locked().filter(pk__in=[uuid.UUID(int=key) for key in owed]):
            if charge(budget, owed, now):
                budget.save(update_fields=COUNTERS)
            else:
                changed.append(budget)
        Budget.objects.bulk_update(changed, ["spent_units"])


@contextmanager
def owed_to(pk: uuid.UUID) -> Iterator[Owed]:
    """What waits to be charged to that budget. Its charge is to be committed before this ends; if
    it ends badly nobody knows whether it was, and the budget is counted anew in the end."""
    with _taken(pk.int) as owed:
        yield owed


def charge(budget: Budget, owed: Owed, now: datetime) -> bool:
    """Charges a locked budget; it is for the caller to save it. Whether it was counted anew, and
    all of COUNTERS may have changed."""
    charges = owed.get(budget.pk.int, ())
    if charges is None or budget.rolls_at <= now or (charges and _is_of_elsewhere(budget)):
        count(budget, now)
        return True
    if charges and budget.snapshot:
        seen = Snapshot.read(budget.snapshot)
        charges = [charge for charge in charges if not seen.sees(charge.transaction)]
    budget.spent_units += sum(c.units for c in charges if c.at >= budget.counted_from)
    return False


def forget_all() -> None:
    """What waits is found again when the leases that it belongs to are taken back."""
    with _lock:
        _waiting.clear()
        _Arranged.is_so = False


@contextmanager
def _taken(only: int | None = None) -> Iterator[Owed]:
    with _lock:
        if only is None:
            found = _waiting.copy()
            _waiting.clear()
            _Arranged.is_so = False
        else:
            found = {only: _waiting.pop(only, [])}
    try:
        yield found
    except BaseException:
        with _lock:
            _waiting.update({key: None for key, charges in found.items() if charges != []})
        raise


def _is_of_elsewhere(budget: Budget) -> bool:
    """Whether it was counted in another cluster, whose data has been brought here: its numbers of
    transactions are ahead of those of this one, and say nothing."""
    return bool(budget.snapshot) and (
        Snapshot.read(budget.snapshot).end > Snapshot.read(budget.as_of).end
    )
