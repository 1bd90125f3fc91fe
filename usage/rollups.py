"""From ledger rows to daily roll-ups: each row exactly once, by whichever process comes first.

A row waits in `PendingRollup` until the transaction that counts it removes its note; what is
counted and what waits can't get out of step. One process works at a time, under a row lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

from django.db import connection, transaction
from django.db.models import Exists, Max, Min, OuterRef

from usage.cells import Cell, Ids, Key, among, fold
from usage.daily import EVERYONE, DailyUsage, Dimension, PendingRollup, RollupLock
from usage.models import UsageRecord
from usage.upsert import add_to_stored

BATCH = 5000
MOST = 50_000  # rows in one transaction


def roll_up() -> int:
    """Counts the ledger rows that wait, unless another process is at it; returns how many. What is
    written meanwhile waits for the next time: many rows at once change fewer figures than as many
    times a few."""
    rolled, more = 0, PendingRollup.objects.exists()
    while more:
        batch, more = _roll_batch()
        rolled += batch
    return rolled


def _roll_batch() -> tuple[int, bool]:
    """How many rows were counted, and whether more of them wait."""
    with _alone() as alone:
        if not alone:
            return 0, False
        ids, more = _next_ids()
        cells = fold_ids(ids)
        with transaction.atomic():
            forgotten, _ = PendingRollup.objects.filter(pk__in=among(ids)).delete()
            if forgotten < ids.count:  # another process was faster
                transaction.set_rollback(True)
                return 0, False
            add_to_stored(cells)
    return ids.count, more


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process is at it. On SQLite nobody asks: a transaction would keep everyone
    from writing while rows are read, which never change; the notes tell who was first."""
    if connection.vendor == "sqlite":
        yield True
        return
    with transaction.atomic():
        yield _locked(wait=False)


def _next_ids() -> tuple[Ids, bool]:
    """Where many rows wait, all those of one day: fewer figures change than with any others."""
    ids = waiting(BATCH)
    rows = UsageRecord.objects.filter(pk__in=among(ids)).order_by()
    moment = rows.values_list("created_at", flat=True)[:1].get() if ids.count == BATCH else None
    if moment is None:
        return ids, False
    start, end = _bounds(moment.astimezone(UTC).date())
    day = UsageRecord.objects.filter(created_at__gte=start, created_at__lt=end)
    notes = PendingRollup.objects.filter(pk__in=day.order_by().values("pk"))
    return Ids.of(notes.values_list("pk", flat=True)[:MOST]), True


def waiting(most: int) -> Ids:
    """Ledger rows that the roll-ups don't count yet."""
    return Ids.of(PendingRollup.objects.values_list("pk", flat=True)[:most])


def fold_ids(ids: Ids) -> dict[Key, Cell]:
    """What these ledger rows come to. They are found by nothing but their keys: SQLite, which has
    no statistics, would go through all rows of whatever else was asked for."""
    rows = UsageRecord.objects.filter(pk__in=among(ids))
    return fold(rows, rows) if ids.count else {}


def _locked(*, wait: bool) -> bool:
    """Whether this transaction has the lock now. SQLite's transactions exclude each other."""
    RollupLock.objects.get_or_create(pk=1)
    if connection.vendor == "sqlite":
        return True
    return RollupLock.objects.select_for_update(skip_locked=not wait).filter(pk=1).exists()


def rebuild(day: date) -> bool:
    """Makes one day's roll-ups anew from the ledger.

    False, and nothing is changed, where the ledger no longer has all the calls that the roll-ups
    count: old rows may be deleted, roll-ups stay.
    """
    start, end = _bounds(day)
    calls = UsageRecord.objects.filter(created_at__gte=start, created_at__lt=end)
    corrections = UsageRecord.objects.filter(
        corrects__created_at__gte=start, corrects__created_at__lt=end
    )
    waits = Exists(PendingRollup.objects.filter(pk=OuterRef("pk")))
    with transaction.atomic():
        _locked(wait=True)
        # What waits is left to `roll_up`: one statement sees a row and its note, or neither.
        cells = fold(calls.exclude(waits), corrections.exclude(waits))
        whole = (EVERYONE, str(Dimension.ALL), day, "")
        counted = DailyUsage.objects.filter(owner=EVERYONE, dimension=Dimension.ALL, day=day)
        if sum(counted.values_list("calls", flat=True)) > cells.get(whole, Cell()).calls:
            return False
        DailyUsage.objects.filter(day=day).delete()
        add_to_stored(cells)
    return True


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time.min, UTC)
    return start, start + timedelta(days=1)


def days_of_ledger() -> list[date]:
    """Every day from the first to the last ledger row."""
    ends = UsageRecord.objects.aggregate(first=Min("created_at"), last=Max("created_at"))
    if ends["first"] is None:
        return []
    first, last = (ends[name].astimezone(UTC).date() for name in ("first", "last"))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
