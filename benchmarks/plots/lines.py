"""Lines over time or over the hours of a day, with a mark at each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.safestring import SafeString

from benchmarks.plots.axes import BOTTOM, LEFT, RIGHT, TOP, WIDTH, Format, Scale, vertical
from benchmarks.plots.figure import Figure, Table, legend
from benchmarks.plots.svg import drawing, line, mark, path, text, tone

HEIGHT = 250.0
MOST_MARKS = 60

Points = Sequence[tuple[float, float]]
"""(place on the axis below, value), ascending."""


def lines(
    *,
    key: str,
    title: str,
    series: Mapping[str, Points],
    below: Sequence[tuple[float, str]],
    show: Format,
    table: Table,
    note: str = "",
) -> Figure:
    """At least one point. `below` are the places that get a word under the axis."""
    places = [x for points in series.values() for x, _ in points] + [x for x, _ in below]
    across = Scale(min(places), max(max(places), min(places) + 1), LEFT + 8, WIDTH - RIGHT - 8)
    high = max(y for points in series.values() for _, y in points)
    up = Scale(0, (high or 1) * 1.1, HEIGHT - BOTTOM, TOP)
    drawn = [
        part
        for number, (name, points) in enumerate(series.items())
        for part in _line(number, name, points, across, up, show)
    ]
    base = line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "base")
    words = [text(across.at(x), HEIGHT - BOTTOM + 19, word, "", "middle") for x, word in below]
    edges = vertical(up, LEFT, WIDTH - RIGHT, show)
    label = f"{title}; the table has it."
    return Figure(
        key=key,
        title=title,
        svg=drawing(HEIGHT, label, *edges, base, *words, *drawn, width=WIDTH),
        legend=legend(list(series), lines=True),
        table=table,
        note=note,
    )


def _line(
    number: int, name: str, points: Points, across: Scale, up: Scale, show: Format
) -> list[SafeString]:
    """Marks only where there is room to tell them apart."""
    placed = [(across.at(x), up.at(y)) for x, y in points]
    if not placed:
        return []
    drawn = [path(placed, tone(number), name)]
    if len(placed) <= MOST_MARKS:
        tips = (f"{name}: {show(round(y, 6))}" for _, y in points)
        drawn += [
            mark(number, x, y, tone(number), tip) for (x, y), tip in zip(placed, tips, strict=True)
        ]
    return drawn
