"""What all statistics of the benchmark share: levels, and the ranks under the tests. Functions on
numpy; `estimates`, `paired` and `unpaired` hold the rest.

Latencies and costs are compared as ratios, on their logarithms: "10 % slower" means the same for
a short answer and a long one. docs/benchmarking.md says why these tests and how to read them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.02  # of 50 comparisons of equals, one may be called a difference
MARGIN = 0.05  # differences below 5 % are none that matter
MINIMUM = {50: 6, 90: 36, 95: 72, 99: 368}
"""Values needed before a percentile's 95 % interval has two ends: the least n, q**n <= 2.5 %."""

Values = NDArray[np.float64]


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected so that all verdicts together are wrong with ALPHA at most (Holm 1979)."""
    corrected, highest, count = [0.0] * len(p_values), 0.0, len(p_values)
    for place, at in enumerate(sorted(range(count), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (count - place) * p_values[at]))
        corrected[at] = highest
    return corrected


def two_sided(distance: float, variance: float) -> float:
    if variance <= 0 or distance <= 0:
        return 1.0
    return math.erfc(distance / math.sqrt(2 * variance))


def mean_ranks(values: Values) -> tuple[Values, Values]:
    """Mean ranks from 1, and how many values share each distinct one."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = last - (counts - 1) / 2
    return ranks[places].astype(np.float64), counts.astype(np.float64)


def array(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=np.float64)


def logarithms(values: ArrayLike) -> Values:
    return np.log(array(values))
