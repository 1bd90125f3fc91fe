"""What usage comes to: totals and groups of a period, read from the roll-ups.

Ledger rows that are not rolled up yet are added, so that a call shows at once. These are two
reads: a row that is counted just in between may be missing from one answer, or stand in it twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model

from credentials.models import AccessToken, LLMCredential
from providers import registry
from usage.cells import FIGURES, PLAIN, Cell
from usage.daily import DailyUsage, Dimension
from usage.histograms import merged, percentiles
from usage.models import PaidBy, Surface
from usage.waiting import Waiting, waiting_of

Cells = dict[tuple[str, date, str], Cell]  # dimension, day, value


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days (UTC), both ends included."""

    start: date
    end: date

    @property
    def days(self) -> list[date]:
        return [self.start + timedelta(days=n) for n in range((self.end - self.start).days + 1)]

    @property
    def previous(self) -> Period:
        """As many days, just before."""
        before = self.start - timedelta(days=1)
        return Period(before - (self.end - self.start), before)


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums, shares and percentiles. Durations are milliseconds of calls that succeeded.

    `success_rate` is the share of the calls that were not cancelled; None where there are none.
    """

    calls: int
    failed: int
    cancelled: int
    simulated: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unpriced: int
    success_rate: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    first_token_p50: float | None
    first_token_p95: float | None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    label: str
    figures: Figures


def figures(cells: Iterable[Cell]) -> Figures:
    parts = list(cells)
    sums: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in PLAIN}
    ended = sums["calls"] - sums["cancelled"]
    whole, p95, p99 = percentiles(merged([part.latency for part in parts]), 50, 95, 99)
    first_token, first_token_p95 = percentiles(merged([part.first_token for part in parts]), 50, 95)
    return Figures(
        **sums | {"cost_usd": Decimal(sums["cost_usd"])},
        success_rate=1 - sums["failed"] / ended if ended else None,
        latency_p50=whole,
        latency_p95=p95,
        latency_p99=p99,
        first_token_p50=first_token,
        first_token_p95=first_token_p95,
    )


def read(
    owner: int,
    dimensions: Sequence[str],
    period: Period | None = None,
    *,
    waiting: Waiting | None = None,
    durations: bool = True,
) -> Cells:
    """The cells of a user's days (or EVERYONE's), for ever or of a period.

    `waiting` is what `waiting_of` found, if the caller has asked already. Without `durations`
    there are no histograms, which are most of the work.
    """
    stored = DailyUsage.objects.filter(owner=owner, dimension__in=dimensions)
    if period:
        stored = stored.filter(day__gte=period.start, day__lte=period.end)
    names = FIGURES if durations else PLAIN
    cells = {
        (dimension, day, value): Cell(**dict(zip(names, found, strict=True)))
        for dimension, day, value, *found in stored.values_list("dimension", "day", "value", *names)
    }
    for (of, dimension, day, value), cell in (waiting or waiting_of(owner)).cells.items():
        inside = period is None or period.start <= day <= period.end
        if of == owner and dimension in dimensions and inside:
            cells.setdefault((dimension, day, value), Cell()).add(cell)
    return cells


def total(cells: Cells) -> Figures:
    return figures(cell for (dimension, _, _), cell in cells.items() if dimension == Dimension.ALL)


def by_day(cells: Cells, period: Period) -> list[Group]:
    """One group a day, also for days without a call."""
    return [
        Group(
            day.isoformat(), day.isoformat(), figures([cells.get((Dimension.ALL, day, ""), Cell())])
        )
        for day in period.days
    ]


def by_value(cells: Cells, dimension: str) -> list[Group]:
    """One group for each value of a dimension, the dearest first."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for (of, _, value), cell in cells.items():
        if of == dimension:
            found[value].append(cell)
    names = labels(dimension, list(found))
    groups = [Group(value, names[value], figures(parts)) for value, parts in found.items()]
    return sorted(
        groups, key=lambda group: (-group.figures.cost_usd, -group.figures.calls, group.key)
    )


def totals_of(owner: int) -> Figures:
    """Everything that a user ever called."""
    return total(read(owner, [Dimension.ALL]))


def labels(dimension: str, values: list[str]) -> dict[str, str]:
    """How people read the values of a dimension; what is gone keeps its id."""
    if dimension in NAMED_ROWS:
        return _names_of_rows(dimension, values)
    fixed = {Dimension.SURFACE: dict(Surface.choices), Dimension.PAID_BY: dict(PaidBy.choices)}
    if dimension in fixed:
        return {value: str(fixed[Dimension(dimension)].get(value, value)) for value in values}
    if dimension == Dimension.PROVIDER:
        return {value: registry.label(value) for value in values}
    return {value: value.partition(":")[2] or "(no model)" for value in values}


NAMED_ROWS: dict[str, tuple[Any, str]] = {
    Dimension.CREDENTIAL: (LLMCredential, "(none: a system key)"),
    Dimension.TOKEN: (AccessToken, "(no access token)"),
    Dimension.USER: (get_user_model(), "(nobody)"),
}


def _names_of_rows(dimension: str, values: list[str]) -> dict[str, str]:
    model, nothing = NAMED_ROWS[dimension]
    rows = {
        str(row.pk): row for row in model._default_manager.filter(pk__in=[v for v in values if v])
    }
    return {
        value: _name(rows[value])
        if value in rows
        else (f"(deleted {value[:8]})" if value else nothing)
        for value in values
    }


def _name(row: Any) -> str:
    return str(row.get_username() if hasattr(row, "get_username") else row.name)
