"""Histograms of durations that can be added up: percentiles of any period come from its days.

Bucket `n` ends at `GROWTH ** n` milliseconds, so that a percentile is off by less than 5%.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

GROWTH = 1.1


def bucket(milliseconds: float) -> int:
    """The number of the bucket; what took up to a millisecond is in the first one, 0."""
    if milliseconds <= 1:
        return 0
    return math.ceil(math.log(milliseconds, GROWTH))


def percentile(counts: Mapping[int, int], percent: float) -> float | None:
    """Milliseconds that `percent` of the durations do not exceed (nearest rank); None of none."""
    rank = math.ceil(sum(counts.values()) * percent / 100)
    below = 0
    for number in sorted(counts):
        if below + counts[number] >= rank > 0:
            inside = (rank - below - 0.5) / counts[number]
            return float(GROWTH ** (number - 1 + inside))
        below += counts[number]
    return None
