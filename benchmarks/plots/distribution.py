"""How the times of each contender scatter: a histogram each, one below the other, on one axis."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from django.utils.safestring import SafeString

from benchmarks.plots.axes import BOTTOM, RIGHT, TOP, WIDTH, Scale, horizontal, milliseconds
from benchmarks.plots.calls import Call, Time, times
from benchmarks.plots.figure import Figure, Table
from benchmarks.plots.svg import drawing, element, line, text, tone
from benchmarks.statistics import MINIMUM
from benchmarks.summary import percentile
from usage.templatetags.usage_format import count, duration

BINS = 44
ROW, LABEL = 62.0, 18.0
TITLES = {"latency_ms": "Response time", "ttft_ms": "First token"}
MANY_PERCENT = 99
FAR = 1.5


def distribution(calls: Mapping[str, Sequence[Call]], which: Time) -> Figure | None:
    """None where no call has that time."""
    found = {one: ranked for one in calls if (ranked := times(calls[one], which))}
    if not found:
        return None
    high, beyond = _reach(found)
    scale = Scale(0, high, 10, WIDTH - RIGHT)
    height = TOP + len(found) * (LABEL + ROW) + BOTTOM
    numbers = {name: number for number, name in enumerate(calls)}
    rows = [
        part
        for place, (name, ranked) in enumerate(found.items())
        for part in _row(scale, TOP + place * (LABEL + ROW), numbers[name], name, ranked)
    ]
    axis = horizontal(scale, height - BOTTOM, TOP, milliseconds(high))
    title = TITLES[which]
    return Figure(
        key=f"distribution-{which}",
        title=f"{title}: distribution",
        svg=drawing(
            height, f"{title} of the calls of each model; the table has it.", *axis, *rows,
            width=WIDTH,
        ),
        legend=[],
        table=_table(calls, which),
        note=_note(beyond),
    )  # fmt: skip


def _reach(found: Mapping[str, Sequence[float]]) -> tuple[float, int]:
    """Where the axis ends, and how many calls lie beyond: a single call of a minute would press
    all others into one bar."""
    longest = max(ranked[-1] for ranked in found.values())
    usual = max(percentile(ranked, MANY_PERCENT) for ranked in found.values())
    high = max(longest if longest <= usual * FAR else usual * 1.1, 1e-6) * 1.001
    return high, sum(len(ranked) - bisect_left(ranked, high) for ranked in found.values())


def _note(beyond: int) -> str:
    note = "The line marks the median."
    if beyond:
        calls = "1 call lies" if beyond == 1 else f"{count(beyond)} calls lie"
        note += f" {calls} beyond the right edge, and in every figure all the same."
    return note


def _row(
    scale: Scale, top: float, number: int, name: str, ranked: Sequence[float]
) -> list[SafeString]:
    base = top + LABEL + ROW - 6
    edges = [scale.high * place / BINS for place in range(BINS + 1)]
    places = [bisect_left(ranked, edge) for edge in edges]
    counts = [after - before for before, after in zip(places, places[1:], strict=False)]
    tallest, middle = max(counts) or 1, scale.at(percentile(ranked, 50))
    bars = [
        _bar(scale, edges[at], edges[at + 1], base, (ROW - 12) * number_in / tallest, number_in)
        for at, number_in in enumerate(counts)
        if number_in
    ]
    return [
        text(10, top + 13, name),
        element("g", *bars, class_=f"fill soft {tone(number)}"),
        line(scale.start, base, scale.end, base, "base"),
        line(middle, base, middle, top + LABEL, "median"),
    ]


def _bar(
    scale: Scale, low: float, high: float, base: float, height: float, calls: int
) -> SafeString:
    left, height = scale.at(low), max(height, 1.0)
    tip = f"{duration(low)} to {duration(high)}: {count(calls)} call{'s' * (calls != 1)}"
    return element(
        "rect",
        element("title", tip),
        x=left,
        y=base - height,
        width=max(scale.at(high) - left - 0.8, 0.5),
        height=height,
    )


def _table(calls: Mapping[str, Sequence[Call]], which: Time) -> Table:
    headers = ("Model", "Succeeded", *(f"{at}%" for at in MINIMUM))
    return Table(headers, [_figures(one, calls[one], which) for one in calls])


def _figures(name: str, calls: Sequence[Call], which: Time) -> tuple[str, ...]:
    ranked = times(calls, which)
    return (
        name,
        count(len(ranked)),
        *(
            duration(percentile(ranked, at)) if len(ranked) >= least else f"needs {least}"
            for at, least in MINIMUM.items()
        ),
    )
