"""From ledger rows to daily roll-ups: each row exactly once, by whichever process comes first.

A row waits in `PendingRollup` until the transaction that counts it removes its note; what is
counted and what waits can't get out of step. One process works at a time, under a row lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, Max, Min, OuterRef

from usage.daily import EVERYONE, DailyUsage, Dimension, PendingRollup, RollupLock
from usage.histograms import add, bucket
from usage.models import Status, UsageQuerySet, UsageRecord

BATCH = 5000
MOST = 50_000  # rows in one transaction, and added to what a page reads
COLUMNS = (
    "id", "created_at", "user_id", "credential_id", "access_token_id", "provider", "model",
    "surface", "paid_by", "status", "is_simulated", "input_tokens", "output_tokens", "cost_usd",
    "latency_ms", "ttft_ms", "attempt_of", "corrects_id", "corrects__created_at",
    "corrects__cost_usd",
)  # fmt: skip
FIGURES = (
    "calls", "failed", "cancelled", "simulated", "input_tokens", "output_tokens", "cost_usd",
    "unpriced", "latency", "first_token",
)  # fmt: skip
PLAIN = FIGURES[:-2]  # without the histograms
Key = tuple[int, str, date, str]  # owner, dimension, day, value


@dataclass(slots=True)
class Cell:
    """Figures that can be added up."""

    calls: int = 0
    failed: int = 0
    cancelled: int = 0
    simulated: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0
    latency: dict[str, int] = field(default_factory=dict)
    first_token: dict[str, int] = field(default_factory=dict)

    def add(self, other: Cell) -> None:
        self.calls += other.calls
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.simulated += other.simulated
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced
        add(self.latency, other.latency)
        add(self.first_token, other.first_token)


def fold(parts: Iterable[UsageQuerySet]) -> dict[Key, Cell]:
    """What the rows of these querysets add to the roll-ups."""
    details: dict[tuple[Any, ...], Cell] = {}
    corrections = []
    for rows in parts:
        for row in rows.order_by().values_list(*COLUMNS, named=True).iterator(BATCH):
            _count(details, row)
            if row.corrects_id and row.corrects__cost_usd is None:
                corrections.append(row)
    for row in _first_corrections(corrections):
        details[_detail(row)].unpriced -= 1
    return _by_dimension(details)


def _count(details: dict[tuple[Any, ...], Cell], row: Any) -> None:
    key = _detail(row)
    cell = details.get(key)
    if cell is None:
        cell = details[key] = Cell()
    cell.input_tokens += row.input_tokens
    cell.output_tokens += row.output_tokens
    if row.cost_usd is not None:
        cell.cost_usd += row.cost_usd
    elif row.status == Status.OK and not row.corrects_id:
        cell.unpriced += 1
    if row.attempt_of is None and row.corrects_id is None:
        _count_call(cell, row)


def _count_call(cell: Cell, row: Any) -> None:
    cell.calls += 1
    cell.simulated += row.is_simulated
    if row.status == Status.ERROR:
        cell.failed += 1
    elif row.status == Status.CANCELLED:
        cell.cancelled += 1
    else:
        add(cell.latency, {bucket(row.latency_ms): 1})
        if row.ttft_ms is not None:
            add(cell.first_token, {bucket(row.ttft_ms): 1})


def _detail(row: Any) -> tuple[Any, ...]:
    moment: datetime = row.corrects__created_at or row.created_at
    return (
        moment.astimezone(UTC).date(), row.user_id, row.credential_id, row.access_token_id,
        row.provider, row.model, row.surface, row.paid_by,
    )  # fmt: skip


def _first_corrections(corrections: list[Any]) -> Iterator[Any]:
    """Those that gave a price to a call without one; a second correction changes it only."""
    targets = {row.corrects_id for row in corrections}
    found = UsageRecord.objects.filter(corrects__in=targets).order_by("-created_at", "-id")
    first = dict(found.values_list("corrects_id", "id")) if targets else {}
    return (row for row in corrections if first.get(row.corrects_id) == row.id)


def _by_dimension(details: dict[tuple[Any, ...], Cell]) -> dict[Key, Cell]:
    cells: dict[Key, Cell] = {}
    for (day, user, credential, token, provider, model, surface, paid_by), cell in details.items():
        values = {
            Dimension.ALL: "",
            Dimension.PROVIDER: provider,
            Dimension.MODEL: f"{provider}:{model}",
            Dimension.CREDENTIAL: str(credential or ""),
            Dimension.SURFACE: surface,
            Dimension.TOKEN: str(token or ""),
            Dimension.PAID_BY: paid_by,
        }
        keys = [(EVERYONE, Dimension.USER, day, str(user or ""))]
        for owner in (EVERYONE, user) if user else (EVERYONE,):
            keys += [(owner, dimension, day, value) for dimension, value in values.items()]
        for owner, dimension, day_, value in keys:
            cells.setdefault((owner, str(dimension), day_, value), Cell()).add(cell)
    return cells


def roll_up() -> int:
    """Counts the ledger rows that wait, unless another process is at it; returns how many."""
    rolled = 0
    while PendingRollup.objects.exists():
        batch = _roll_batch()
        if not batch:
            break
        rolled += batch
    return rolled


@transaction.atomic
def _roll_batch() -> int:
    if not _locked(wait=False):
        return 0
    ids = list(PendingRollup.objects.values_list("pk", flat=True)[:BATCH])
    if len(ids) == BATCH:
        ids = _of_one_day(ids)
    _store(_fold_ids(ids))
    for part in _parts(ids):
        PendingRollup.objects.filter(pk__in=part).delete()
    return len(ids)


def _of_one_day(ids: list[UUID]) -> list[UUID]:
    """Where many rows wait, all those of one day: fewer figures change than with any others."""
    first = UsageRecord.objects.filter(pk__in=ids).order_by().first()
    if first is None:
        return ids
    start, end = _bounds(first.created_at.astimezone(UTC).date())
    day = UsageRecord.objects.filter(created_at__gte=start, created_at__lt=end)
    notes = PendingRollup.objects.filter(pk__in=day.order_by().values("pk"))
    return list(notes.values_list("pk", flat=True)[:MOST])


def _fold_ids(ids: list[UUID]) -> dict[Key, Cell]:
    return fold(UsageRecord.objects.filter(pk__in=part) for part in _parts(ids))


def _parts(ids: list[UUID]) -> Iterator[list[UUID]]:
    return (ids[n : n + BATCH] for n in range(0, len(ids), BATCH))


def fold_waiting() -> dict[Key, Cell]:
    """What the rows that wait will add. While very many wait, only some of them."""
    return _fold_ids(list(PendingRollup.objects.values_list("pk", flat=True)[:MOST]))


def _locked(*, wait: bool) -> bool:
    """Whether this transaction has the lock now. SQLite's transactions exclude each other."""
    RollupLock.objects.get_or_create(pk=1)
    if connection.vendor == "sqlite":
        return True
    return RollupLock.objects.select_for_update(skip_locked=not wait).filter(pk=1).exists()


def _store(cells: dict[Key, Cell]) -> None:
    """Adds the cells to what is stored."""
    for stored in _stored(cells):
        key = (stored.owner, stored.dimension, stored.day, stored.value)
        if key in cells:
            cells[key].add(Cell(**{name: getattr(stored, name) for name in FIGURES}))
    DailyUsage.objects.bulk_create(
        (_row(key, cell) for key, cell in cells.items()),
        batch_size=500,
        update_conflicts=True,
        unique_fields=["owner", "dimension", "day", "value"],
        update_fields=FIGURES,
    )


def _stored(cells: Iterable[Key]) -> Iterable[DailyUsage]:
    keys = list(cells)
    return DailyUsage.objects.filter(
        owner__in={owner for owner, _, _, _ in keys},
        day__in={day for _, _, day, _ in keys},
        value__in={value for _, _, _, value in keys},
    )


def _row(key: Key, cell: Cell) -> DailyUsage:
    owner, dimension, day, value = key
    figures = {name: getattr(cell, name) for name in FIGURES}
    return DailyUsage(owner=owner, dimension=dimension, day=day, value=value, **figures)


def rebuild(day: date) -> bool:
    """Makes one day's roll-ups anew from the ledger.

    False, and nothing is changed, where the ledger no longer has all the calls that the roll-ups
    count: old rows may be deleted, roll-ups stay.
    """
    start, end = _bounds(day)
    calls = UsageRecord.objects.filter(corrects=None, created_at__gte=start, created_at__lt=end)
    corrections = UsageRecord.objects.filter(
        corrects__isnull=False, corrects__created_at__gte=start, corrects__created_at__lt=end
    )
    waits = Exists(PendingRollup.objects.filter(pk=OuterRef("pk")))
    with transaction.atomic():
        _locked(wait=True)
        # What waits is left to `roll_up`: one statement sees a row and its note, or neither.
        cells = fold([calls.exclude(waits), corrections.exclude(waits)])
        whole = (EVERYONE, str(Dimension.ALL), day, "")
        counted = DailyUsage.objects.filter(owner=EVERYONE, dimension=Dimension.ALL, day=day)
        if sum(counted.values_list("calls", flat=True)) > cells.get(whole, Cell()).calls:
            return False
        DailyUsage.objects.filter(day=day).delete()
        _store(cells)
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
