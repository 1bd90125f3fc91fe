"""Histograms of durations that can be added up: percentiles of any period come from its days.

Bucket `n` ends at `GROWTH ** n` milliseconds, so that a percentile is off by less than 5%.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

GROWTH = 1.1


def bucket(milliseconds: float) -> str:
    """The number of the bucket, as JSON's keys are; what took up to 1 ms is in the first, "0"."""
    if milliseconds <= 1:
        return "0"
    return str(math.ceil(math.log(milliseconds, GROWTH)))


def add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for number, count in more.items():
        counts[number] = counts.get(number, 0) + count


def merged(histograms: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    if len(histograms) == 1:
        return histograms[0]
    counts: dict[str, int] = {}
    for histogram in histograms:
        add(counts, histogram)
    return counts


def percentiles(counts: Mapping[str, int], *percents: float) -> Iterator[float | None]:
    """Milliseconds that so many percent (the least first) of the durations do not exceed (nearest
    rank); None of none."""
    wanted = [math.ceil(sum(counts.values()) * percent / 100) for percent in percents]
    below = 0
    for number, count in sorted((int(number), count) for number, count in counts.items()):
        while wanted and below + count >= wanted[0] > 0:
            inside = (wanted.pop(0) - below - 0.5) / count
            yield float(GROWTH ** (number - 1 + inside))
        below += count
    yield from (None for _ in wanted)
