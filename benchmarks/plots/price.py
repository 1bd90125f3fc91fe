"""Time against money: left and low is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, median

from django.utils.safestring import SafeString

from benchmarks.plots.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    dollars,
    fitting,
    horizontal,
    milliseconds,
    vertical,
)
from benchmarks.plots.calls import Call, times
from benchmarks.plots.figure import Figure, Table, legend
from benchmarks.plots.svg import drawing, line, mark, tone
from benchmarks.summary import percentile
from usage.templatetags.usage_format import duration, usd

HEIGHT = 250.0
THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """The median time with the middle 80 % of times around it, and the cost of 1,000 calls."""

    name: str
    number: int
    low: float
    middle: float
    high: float
    cost: float

    @property
    def tip(self) -> str:
        return f"{self.name}: {duration(self.middle)}, {dollars(self.cost)} for 1,000"


def price(calls: Mapping[str, Sequence[Call]]) -> Figure | None:
    """Response time and cost; None where no price is known."""
    points = [
        point for number, name in enumerate(calls) if (point := _point(name, number, calls[name]))
    ]
    if not points:
        return None
    across = fitting([at for p in points for at in (p.low, p.high)], LEFT, WIDTH - RIGHT)
    up = fitting([point.cost for point in points], HEIGHT - BOTTOM, TOP)
    edges = horizontal(across, HEIGHT - BOTTOM, TOP, milliseconds(across.high))
    edges += vertical(up, LEFT, WIDTH - RIGHT, dollars)
    marks = [part for point in points for part in _drawn(point, across, up)]
    return Figure(
        key="price",
        title="Response time and cost of 1,000 calls",
        svg=drawing(
            HEIGHT, "Response time and cost of each model; the table has it.", *edges, *marks,
            width=WIDTH,
        ),
        legend=legend(list(calls), lines=False),
        table=_table(calls, points),
        note="Left and low is best. Lines span the middle 80% of times.",
    )  # fmt: skip


def _point(name: str, number: int, calls: Sequence[Call]) -> Point | None:
    ranked = times(calls, "latency_ms")
    costs = [call.cost_usd for call in calls if call.ok]
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return None
    low, high = percentile(ranked, 10), percentile(ranked, 90)
    return Point(name, number, low, median(ranked), high, fmean(known) * THOUSAND)


def _drawn(point: Point, across: Scale, up: Scale) -> list[SafeString]:
    y, colour = up.at(point.cost), tone(point.number)
    whisker = line(across.at(point.low), y, across.at(point.high), y, f"whisker {colour}")
    return [whisker, mark(point.number, across.at(point.middle), y, colour, point.tip)]


def _table(calls: Mapping[str, Sequence[Call]], points: Sequence[Point]) -> Table:
    found = {point.name: point for point in points}
    headers = ("Model", "10%", "Median", "90%", "1,000 calls")
    return Table(headers, [_row(name, found.get(name)) for name in calls])


def _row(name: str, point: Point | None) -> tuple[str, ...]:
    if point is None:
        return (name, "–", "–", "–", "no price")
    spread = (duration(at) for at in (point.low, point.middle, point.high))
    return (name, *spread, usd(Decimal(repr(point.cost))))
