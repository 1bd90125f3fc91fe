"""All figures of some calls, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.plots.calls import Call
from benchmarks.plots.cumulative import cumulative
from benchmarks.plots.distribution import distribution
from benchmarks.plots.figure import Figure
from benchmarks.plots.price import price
from benchmarks.plots.sweep import sweep


def figures(calls: Mapping[str, Sequence[Call]]) -> list[Figure]:
    """`calls` by the name under which they are shown; their order gives each its colour."""
    measured = {name: taken for name, taken in calls.items() if taken}
    drawn = (
        distribution(measured, "latency_ms"),
        cumulative(measured, "latency_ms"),
        distribution(measured, "ttft_ms"),
        cumulative(measured, "ttft_ms"),
        price(measured),
        sweep(measured, "latency_ms"),
        sweep(measured, "ttft_ms"),
    )
    return [figure for figure in drawn if figure]
