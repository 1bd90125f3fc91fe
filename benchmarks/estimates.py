"""One contender's figure: its mean and percentiles with their intervals, and which values are far
from the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.statistics import MINIMUM, array, logarithms

RESAMPLES = 1_000
VALUES_AT_ONCE = 1_000_000  # of resamples: 8 MB
CONFIDENCE = 0.95
FEWEST_FOR_OUTLIERS = 6  # of three values one is soon far from the other two
OUTLIER = 3.5  # robust z-scores, after Iglewicz and Hoaglin
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TooFew:
    """A percentile of too few values: `needs` is how many it takes."""

    needs: int

    def __str__(self) -> str:
        return f"n/a, needs {self.needs}"


def mean_estimate(values: ArrayLike, *, seed: int) -> Estimate:
    """The mean with a percentile-bootstrap interval, of at least one value."""
    data, chance = array(values), np.random.default_rng(seed)
    at_once = max(VALUES_AT_ONCE // len(data), 1)
    sizes = [min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once)]
    means = np.concatenate([chance.choice(data, (size, len(data))).mean(1) for size in sizes])
    low, high = np.quantile(means, _ends())
    return Estimate(float(data.mean()), float(low), float(high))


def percentile_estimate(values: ArrayLike, percent: int, *, seed: int) -> Estimate | TooFew:
    """The nearest-rank percentile with its bootstrap interval; TooFew below MINIMUM.

    The k-th smallest of n values drawn with replacement is the one at floor(n * B) with B from
    Beta(k, n - k + 1): that draws resampled percentiles without making the resamples.
    """
    ranked = np.sort(array(values))
    count = len(ranked)
    if count < MINIMUM[percent]:
        return TooFew(MINIMUM[percent])
    rank = max(math.ceil(count * percent / 100), 1)
    drawn = np.random.default_rng(seed).beta(rank, count - rank + 1, RESAMPLES)
    places = np.quantile(np.minimum((drawn * count).astype(int), count - 1), _ends()).astype(int)
    low, high = ranked[places]
    return Estimate(float(ranked[rank - 1]), float(low), float(high))


def outliers(values: ArrayLike) -> list[bool]:
    """Which values are far from the median, on a log scale, by the median absolute deviation.
    For flags only: nothing is ever dropped."""
    logs = logarithms(values)
    if len(logs) < FEWEST_FOR_OUTLIERS:
        return [False] * len(logs)
    distances = np.abs(logs - np.median(logs))
    deviation = MAD_TO_SIGMA * float(np.median(distances))
    return (
        [bool(far) for far in distances > OUTLIER * deviation] if deviation else [False] * len(logs)
    )


def _ends() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
