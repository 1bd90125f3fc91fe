"""What more calls at a time do to the times: one line for each contender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from benchmarks.plots.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    fitting,
    milliseconds,
    vertical,
)
from benchmarks.plots.calls import Call, Time, times
from benchmarks.plots.distribution import TITLES
from benchmarks.plots.figure import Figure, Table, legend
from benchmarks.plots.svg import drawing, line, mark, path, text, tone
from benchmarks.statistics import MINIMUM
from benchmarks.summary import percentile
from usage.templatetags.usage_format import duration

HEIGHT = 250.0
HIGH = 95


@dataclass(frozen=True, slots=True)
class Levels:
    """The numbers of calls at a time, evenly apart: they are usually powers."""

    values: list[int]

    def at(self, level: int) -> float:
        width = WIDTH - RIGHT - LEFT - 40
        return LEFT + 20 + width * self.values.index(level) / (len(self.values) - 1)


def sweep(calls: Mapping[str, Sequence[Call]], which: Time) -> Figure | None:
    """None unless there were several numbers of calls at a time."""
    levels = Levels(sorted({call.level for taken in calls.values() for call in taken}))
    if len(levels.values) < 2:
        return None
    found = {name: _by_level(taken, which) for name, taken in calls.items()}
    middles = [percentile(v, 50) for ranked in found.values() for v in ranked.values()]
    if not middles:
        return None
    up = fitting(middles, HEIGHT - BOTTOM, TOP)
    drawn = [
        part
        for number, (name, ranked) in enumerate(found.items())
        for part in _line(number, name, ranked, levels, up)
    ]
    title = TITLES[which]
    edges = [*_below(levels), *vertical(up, LEFT, WIDTH - RIGHT, milliseconds(up.high))]
    label = f"{title} by calls at a time; the table has it."
    return Figure(
        key=f"sweep-{which}",
        title=f"{title} by calls at a time",
        svg=drawing(HEIGHT, label, *edges, *drawn, width=WIDTH),
        legend=legend(list(calls), lines=True),
        table=_table(found, levels),
        note="Medians; in the table with the 95th percentile behind them.",
    )


def _by_level(calls: Sequence[Call], which: Time) -> dict[int, list[float]]:
    """Ascending times by level, where there are any."""
    found: dict[int, list[Call]] = {}
    for call in calls:
        found.setdefault(call.level, []).append(call)
    ranked = {level: times(taken, which) for level, taken in sorted(found.items())}
    return {level: values for level, values in ranked.items() if values}


def _below(levels: Levels) -> list[SafeString]:
    base = line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "base")
    words = [
        text(levels.at(level), HEIGHT - BOTTOM + 19, str(level), "", "middle")
        for level in levels.values
    ]
    return [base, *words]


def _line(
    number: int, name: str, ranked: Mapping[int, Sequence[float]], levels: Levels, up: Scale
) -> list[SafeString]:
    places = {level: percentile(values, 50) for level, values in ranked.items()}
    points = [(levels.at(level), up.at(value)) for level, value in places.items()]
    marks = [
        mark(number, x, y, tone(number), f"{name}, {level} at a time: {duration(places[level])}")
        for level, (x, y) in zip(places, points, strict=True)
    ]
    return [path(points, tone(number), name), *marks] if points else []


def _table(found: Mapping[str, Mapping[int, Sequence[float]]], levels: Levels) -> Table:
    headers = ("At a time", *map(str, levels.values))
    rows = [
        (name, *(_cell(ranked.get(level, ())) for level in levels.values))
        for name, ranked in found.items()
    ]
    return Table(headers, rows)


def _cell(ranked: Sequence[float]) -> str:
    if not ranked:
        return "–"
    high = f" · {duration(percentile(ranked, HIGH))}" if len(ranked) >= MINIMUM[HIGH] else ""
    return duration(percentile(ranked, 50)) + high
