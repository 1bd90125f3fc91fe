"""All figures of some calls, in the order in which a page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.plan import Contender
from benchmarks.plots.calls import Call
from benchmarks.plots.cumulative import cumulative
from benchmarks.plots.distribution import distribution
from benchmarks.plots.figure import Figure
from benchmarks.plots.price import price


def figures(calls: Iterable[Call], contenders: Sequence[Contender]) -> list[Figure]:
    """`contenders` in the plan's order, which gives each its colour. No call, no figure."""
    found: dict[Contender, list[Call]] = {contender: [] for contender in contenders}
    for call in calls:
        found.setdefault(call.contender, []).append(call)
    measured = {contender: taken for contender, taken in found.items() if taken}
    drawn = (
        distribution(measured, "latency_ms"),
        cumulative(measured, "latency_ms"),
        distribution(measured, "ttft_ms"),
        cumulative(measured, "ttft_ms"),
        price(measured),
    )
    return [figure for figure in drawn if figure]
