"""The part of the report about several numbers of calls at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.report_words import RULE, heading, row, seconds
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import figures, rates

HEADERS = ("At a time", "Calls", "Failed", "Time (s)", "First (s)", "Tokens/s")
WIDTHS = (10, 8, 8, 10, 10, 8)


def sweep_lines(run: Run) -> Iterator[str]:
    """How the times grow with the number of calls at a time."""
    if len(run.plan.levels) < 2 or run.plan.rate:
        return
    yield from ("", "CALLS AT A TIME", RULE)
    for contender in run.contenders:
        own = [sample for sample in run.measured if sample.step.contender == contender]
        yield from ("", f"{heading(run, contender)}:", row(HEADERS, WIDTHS))
        for level in run.plan.levels:
            yield row(_cells(level, [one for one in own if one.step.level == level]), WIDTHS)


def _cells(level: int, taken: Sequence[Sample]) -> tuple[str, ...]:
    found, rate = figures(taken), rates(taken)
    counts = (str(level), str(found.calls), str(found.failed))
    if found.median is None:
        return (*counts, "n/a", "n/a", "n/a")
    first = "n/a" if found.median.ttft_s is None else seconds(found.median.ttft_s)
    speed = f"{median(rate):.0f}" if rate else "n/a"
    return (*counts, seconds(found.median.time_s), first, speed)
