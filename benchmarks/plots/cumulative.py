"""What share of calls was answered within a time. A failed call never was: its contender's line
ends below 100 %."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from benchmarks.plots.axes import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    fitting,
    horizontal,
    milliseconds,
    percent,
    vertical,
)
from benchmarks.plots.calls import Call, Time, times
from benchmarks.plots.distribution import TITLES
from benchmarks.plots.figure import Figure, Table, legend
from benchmarks.plots.svg import drawing, path, tone

HEIGHT = 250.0
MOST_POINTS = 160


def cumulative(calls: Mapping[str, Sequence[Call]], which: Time) -> Figure | None:
    """None where no call has that time."""
    ranked = {name: times(calls[name], which) for name in calls}
    if not any(ranked.values()):
        return None
    across = _across(ranked)
    up = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    title = TITLES[which]
    lines = [
        path(_points(ranked[one], len(calls[one]), across, up), tone(number), one)
        for number, one in enumerate(calls)
        if ranked[one]
    ]
    edges = horizontal(across, HEIGHT - BOTTOM, TOP, milliseconds(across.high))
    edges += vertical(up, LEFT, WIDTH - RIGHT, percent)
    label = f"Share of calls by {title.lower()}; the table has it."
    return Figure(
        key=f"cumulative-{which}",
        title=f"{title}: share of calls within it",
        svg=drawing(HEIGHT, label, *edges, *lines, width=WIDTH),
        legend=legend(list(calls), lines=True),
        table=_table(calls, ranked, across),
        note="Failed calls count as never answered.",
    )


def _across(ranked: Mapping[str, Sequence[float]]) -> Scale:
    lasts = [values[-1] for values in ranked.values() if values]
    ends = [value for values in ranked.values() if values for value in (values[0], values[-1])]
    scale = fitting(ends, LEFT, WIDTH - RIGHT)
    return scale if scale.is_log else Scale(0, max(lasts) * 1.02 or 1.0, LEFT, WIDTH - RIGHT)


def _points(
    ranked: Sequence[float], calls: int, across: Scale, up: Scale
) -> list[tuple[float, float]]:
    """A step up at each value, or at 160 of them, which is finer than the paper."""
    count = min(len(ranked), MOST_POINTS)
    points = [(across.at(ranked[0]), up.at(0))]
    for number in range(1, count + 1):
        rank = round(number * len(ranked) / count)
        x = across.at(ranked[rank - 1])
        points += [(x, points[-1][1]), (x, up.at(rank / calls))]
    return [*points, (across.end, points[-1][1])]


def _table(
    calls: Mapping[str, Sequence[Call]],
    ranked: Mapping[str, Sequence[float]],
    across: Scale,
) -> Table:
    limits = [at for at in across.ticks() if at > 0]
    show = milliseconds(across.high)
    rows = [
        (
            one,
            *(percent(bisect_right(ranked[one], at) / len(calls[one])) for at in limits),
        )
        for one in calls
    ]
    return Table(("Within", *map(show, limits)), rows)
