"""What a ledger comes to, by day and value: read from it by one statement, added up in memory.

The database groups the rows by all that they are told apart by at once; the many cells that each
group counts in (a day's provider, its model, ..., for its user and for everyone) are sums of
groups. Grouping the rows once for each cell would read them fifteen times.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import (
    Aggregate,
    Case,
    Count,
    DateField,
    Exists,
    F,
    Func,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Ceil, Ln

from usage.daily import EVERYONE, Dimension
from usage.histograms import GROWTH, add
from usage.models import IS_CALL, Status, UsageQuerySet, UsageRecord

FIGURES = (
    "calls", "failed", "cancelled", "simulated", "input_tokens", "output_tokens", "cost_usd",
    "unpriced", "latency", "first_token",
)  # fmt: skip
PLAIN = FIGURES[:-2]  # without the histograms
NANO = Decimal("0.000000001")
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


class _Day(Func):
    """The day (UTC) of a moment, cut from the text that SQLite keeps it as."""

    output_field = DateField()
    template = "(%(expressions)s AT TIME ZONE 'UTC')::date"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="substr(%(expressions)s, 1, 10)")


class _Listed(Aggregate):
    """Whole numbers as "1,2,2"; empty where there are none."""

    output_field = TextField()
    function = "GROUP_CONCAT"

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        listed = self.copy()  # an aggregate with a filter takes no template for one statement
        listed.template = "STRING_AGG((%(expressions)s)::text, ',')"
        return listed.as_sql(compiler, connection)


def _buckets(name: str) -> _Listed:
    """The buckets of these durations, as `histograms.bucket` numbers them."""
    number = Cast(Ceil(Ln(F(name)) / Value(math.log(GROWTH))), IntegerField())
    of_one = Case(When(**{f"{name}__lte": 1}, then=Value(0)), default=number)
    return _Listed(of_one, filter=_OK & Q(**{f"{name}__isnull": False}))


_OK = IS_CALL & Q(status=Status.OK)
_TOLD_APART_BY = (
    "user_id", "credential_id", "access_token_id", "provider", "model", "surface", "paid_by",
)  # fmt: skip
_SUMS = {
    "sum_calls": Count("id", filter=IS_CALL),
    "sum_failed": Count("id", filter=IS_CALL & Q(status=Status.ERROR)),
    "sum_cancelled": Count("id", filter=IS_CALL & Q(status=Status.CANCELLED)),
    "sum_simulated": Count("id", filter=IS_CALL & Q(is_simulated=True)),
    "sum_input": Sum("input_tokens"),
    "sum_output": Sum("output_tokens"),
    "sum_cost": Sum("cost_usd", default=Decimal(0)),
    "sum_unpriced": Count("id", filter=Q(status=Status.OK, cost_usd=None, corrects=None)),
    "sum_latency": _buckets("latency_ms"),
    "sum_first": _buckets("ttft_ms"),
}


# A second correction changes the price that the first one gave.
_CORRECTED_BEFORE = Exists(
    UsageRecord.objects.filter(corrects=OuterRef("corrects")).filter(
        Q(created_at__lt=OuterRef("created_at"))
        | Q(created_at=OuterRef("created_at"), pk__lt=OuterRef("pk"))
    )
)
_SUMS_OF_CORRECTIONS = _SUMS | {
    "sum_unpriced": Count("id", filter=Q(~_CORRECTED_BEFORE, corrects__cost_usd=None))
}


def fold(rows: UsageQuerySet, corrections: UsageQuerySet) -> dict[Key, Cell]:
    """What the calls among `rows` and the `corrections` add to the roll-ups."""
    cells: dict[Key, Cell] = {}
    for group in _grouped(rows.filter(corrects=None), "created_at", _SUMS):
        _count(cells, group)
    made = corrections.filter(corrects__isnull=False)
    for group in _grouped(made, "corrects__created_at", _SUMS_OF_CORRECTIONS):
        group[-1].unpriced *= -1  # a call without a price has got one
        _count(cells, group)
    return cells


def _grouped(rows: UsageQuerySet, moment: str, sums: dict[str, Any]) -> Iterator[Any]:
    """(day, user, ..., who paid, Cell) of each group."""
    names = ("day", *_TOLD_APART_BY)
    groups = rows.order_by().annotate(day=_Day(moment)).values(*names).annotate(**sums)
    for found in groups.values_list(*names, *sums).iterator(2000):
        *told, calls, failed, cancelled, simulated, read, written, cost, unpriced, times, firsts = (
            found
        )
        yield *told, Cell(
            calls, failed, cancelled, simulated, read, written, cost.quantize(NANO), unpriced,
            _counted(times), _counted(firsts),
        )  # fmt: skip


def _counted(listed: str | None) -> dict[str, int]:
    return Counter(listed.split(",")) if listed else {}


def _count(cells: dict[Key, Cell], group: Any) -> None:
    """Adds a group to all cells that it counts in."""
    day, user, credential, token, provider, model, surface, paid_by, figures = group
    values = (
        (Dimension.ALL.value, ""),
        (Dimension.PROVIDER.value, provider),
        (Dimension.MODEL.value, f"{provider}:{model}"),
        (Dimension.CREDENTIAL.value, str(credential or "")),
        (Dimension.SURFACE.value, surface),
        (Dimension.TOKEN.value, str(token or "")),
        (Dimension.PAID_BY.value, paid_by),
    )
    keys = [(EVERYONE, dimension, day, value) for dimension, value in values]
    keys.append((EVERYONE, Dimension.USER.value, day, str(user or "")))
    if user:
        keys.extend((user, dimension, day, value) for dimension, value in values)
    for key in keys:
        cell = cells.get(key)
        if cell is None:
            cell = cells[key] = Cell()
        cell.add(figures)


_LISTED = {
    "postgresql": "coalesce(array_agg(pk), '{}')::text",
    "sqlite": "json_group_array(pk)",
}


@dataclass(frozen=True, slots=True)
class Ids:
    """Keys of ledger rows in one text, as the database gives and takes them: thousands are counted
    every two seconds, and to make an object of each took longer than to count them."""

    text: str
    count: int

    @classmethod
    def of(cls, keys: QuerySet[Any, UUID]) -> Ids:
        """What `keys` finds: a `values_list` of nothing but keys."""
        sql, parameters = keys.query.sql_with_params()
        listed = _LISTED[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH found(pk) AS ({sql}) SELECT {listed}, count(*) FROM found",  # noqa: S608
                parameters,
            )
            return cls(*cursor.fetchone())


def among(ids: Ids) -> RawSQL:
    """For `pk__in`: one parameter, however many there are."""
    if connection.vendor == "postgresql":
        return RawSQL("SELECT unnest(%s::uuid[])", [ids.text])
    return RawSQL("SELECT value FROM json_each(%s)", [ids.text])
