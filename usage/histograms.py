"""Histograms of durations that can be added up: percentiles of any period come from its days.

Bucket `n` ends at `GROWTH ** n` milliseconds, so that a percentile is off by less than 5%.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

GROWTH = 1.1


def bucket(milliseconds: float) -> str:
    """The number of the bucket, as JSON's keys are; what took up to 1 ms is in the first, "0"."""
    if milliseconds <= 1:
        return "0"
    return str(math.ceil(math.log(milliseconds, GROWTH)))


def add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for number, count in more.items():
        counts[number] = counts.get(number, 0) + count


def percentile(counts: Mapping[str, int], percent: float) -> float | None:
    """Milliseconds that `percent` of the durations do not exceed (nearest rank); None of none."""
    rank = math.ceil(sum(counts.values()) * percent / 100)
    below = 0
    for number in sorted(counts, key=int):
        if below + counts[number] >= rank > 0:
            inside = (rank - below - 0.5) / counts[number]
            return float(GROWTH ** (int(number) - 1 + inside))
        below += counts[number]
    return None
