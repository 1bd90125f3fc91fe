"""What measured values tell: intervals, paired comparisons, regressions. Pure functions on numpy.

Latencies and costs are compared as ratios, on their logarithms: "10 % slower" means the same for
a short answer and a long one. docs/benchmarking.md says why these tests and how to read them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHA = 0.02  # of 50 comparisons of equals, one may be called a difference
POWER = 0.8  # how sure "about N more" should make
MARGIN = 0.05  # differences below 5 % are none that matter
FEWEST_PAIRS = 12  # the normal approximation of the signed-rank test is fair from here on
RESAMPLES = 1_000
VALUES_AT_ONCE = 1_000_000  # of resamples: 8 MB
FEWEST_FOR_OUTLIERS = 6  # of three values one is soon far from the other two
OUTLIER = 3.5  # robust z-scores, after Iglewicz and Hoaglin
CONFIDENCE = 0.95
MINIMUM = {50: 6, 90: 36, 95: 72, 99: 368}
"""Values needed before a percentile's 95 % interval has two ends: the least n, q**n <= 2.5 %."""

MAD_TO_SIGMA = 1.4826
NORMAL = NormalDist()

Values = NDArray[np.float64]


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


class Conclusion(StrEnum):
    """About the first of two contenders: its values are lower, higher, the same within the
    margin; or the pairs don't tell; or the stopwatch is coarser than the difference."""

    LOWER = "lower"
    HIGHER = "higher"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """First against second on `pairs` matched calls.

    `ratio` is first/second (Hodges-Lehmann, so 0.9 means 10 % less), `low` to `high` its
    interval, `difference` the median of first - second in the unit of the values, `effect` the
    matched-pairs rank-biserial correlation (-1: first lower in every pair). `p_value` is
    corrected for the number of comparisons once `judged`. `more` is about how many pairs are
    missing, None unless inconclusive.
    """

    pairs: int
    ratio: float
    low: float
    high: float
    difference: float
    effect: float
    p_value: float
    spread: float
    conclusion: Conclusion = Conclusion.INCONCLUSIVE
    more: int | None = None


def mean_estimate(values: ArrayLike, *, seed: int) -> Estimate:
    """The mean with a percentile-bootstrap interval, of at least one value."""
    data, chance = _array(values), np.random.default_rng(seed)
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
    ranked = np.sort(_array(values))
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
    logs = _logs(values)
    if len(logs) < FEWEST_FOR_OUTLIERS:
        return [False] * len(logs)
    distances = np.abs(logs - np.median(logs))
    deviation = MAD_TO_SIGMA * float(np.median(distances))
    return (
        [bool(far) for far in distances > OUTLIER * deviation] if deviation else [False] * len(logs)
    )


def compare(first: ArrayLike, second: ArrayLike, *, comparisons: int = 1) -> Comparison:
    """Matched values against each other, not yet judged. `comparisons` widens the interval to
    what holds for that many at once. Values must be above 0, and at least one pair given."""
    one, other = _array(first), _array(second)
    differences = np.log(one) - np.log(other)
    low, high = _walsh_interval(differences, ALPHA / comparisons)
    p_value, effect = signed_rank(differences)
    return Comparison(
        pairs=len(differences),
        ratio=math.exp(_walsh_centre(differences)),
        low=math.exp(low),
        high=math.exp(high),
        difference=float(np.median(one - other)),
        effect=effect,
        p_value=p_value,
        spread=float(np.std(differences, ddof=1)) if len(differences) > 1 else math.inf,
    )


def judged(
    comparisons: Sequence[Comparison], *, harness_error: float | None = None
) -> list[Comparison]:
    """Each with its conclusion. `harness_error` is in the unit of the values."""
    corrected = holm([one.p_value for one in comparisons])
    found = [
        replace(one, p_value=p_value) for one, p_value in zip(comparisons, corrected, strict=True)
    ]
    return [_judge(one, len(found), harness_error) for one in found]


def _judge(one: Comparison, comparisons: int, harness_error: float | None) -> Comparison:
    if one.pairs < FEWEST_PAIRS:
        return replace(one, more=_more(one, comparisons))
    within = one.low >= 1 / (1 + MARGIN) and one.high <= 1 + MARGIN
    if within:
        return replace(one, conclusion=Conclusion.SAME)
    if one.p_value >= ALPHA:
        return replace(one, more=_more(one, comparisons))
    if harness_error is not None and harness_error >= abs(one.difference):
        return replace(one, conclusion=Conclusion.REFUSED)
    return replace(one, conclusion=Conclusion.LOWER if one.ratio < 1 else Conclusion.HIGHER)


def _more(one: Comparison, comparisons: int) -> int:
    """About how many more pairs make the ratio seen either a difference or none that matters,
    whichever takes fewer: n = (z_alpha + z_power)² s² / d², and π/3 for the rank test's
    efficiency with normal values. Rounded up to two digits: it is a forecast."""
    if not math.isfinite(one.spread) or one.spread == 0:
        return max(FEWEST_PAIRS - one.pairs, 1)
    shift = abs(math.log(one.ratio))
    distance = max(shift, math.log(1 + MARGIN) - shift)
    z = NORMAL.inv_cdf(1 - ALPHA / comparisons / 2) + NORMAL.inv_cdf(POWER)
    needed = math.pi / 3 * (z * one.spread / distance) ** 2
    return _two_digits(max(needed, FEWEST_PAIRS, one.pairs * 1.1) - one.pairs)


def _two_digits(number: float) -> int:
    unit = int(10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0))
    return max(math.ceil(number / unit - 1e-9), 1) * unit


def signed_rank(differences: ArrayLike) -> tuple[float, float]:
    """Wilcoxon's signed-rank test, two-sided: p-value and rank-biserial correlation.

    Normal approximation with correction for ties and continuity; zeros by Pratt's method (they
    take their ranks, which then don't count).
    """
    data = _array(differences)
    size, zeros = len(data), int(np.count_nonzero(data == 0))
    ranks, ties = _ranks(np.abs(data))
    up, down = float(ranks[data > 0].sum()), float(ranks[data < 0].sum())
    if zeros == size:
        return 1.0, 0.0
    effect = (up - down) / (up + down)
    tied = float((ties**3 - ties).sum()) - (zeros**3 - zeros)
    variance = (_cubic(size) - _cubic(zeros)) / 24 - tied / 48
    centre = (size * (size + 1) - zeros * (zeros + 1)) / 4
    return _two_sided(abs(up - centre) - 0.5, variance), effect


def _cubic(size: int) -> int:
    return size * (size + 1) * (2 * size + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected so that all verdicts together are wrong with ALPHA at most (Holm 1979)."""
    corrected, highest, count = [0.0] * len(p_values), 0.0, len(p_values)
    for place, at in enumerate(sorted(range(count), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (count - place) * p_values[at]))
        corrected[at] = highest
    return corrected


@dataclass(frozen=True, slots=True)
class Change:
    """One run against another: `ratio` of the medians (now/before), Mann-Whitney's `p_value`,
    `effect` Cliff's delta (1: every value now is above every value before)."""

    ratio: float
    p_value: float
    effect: float

    @property
    def is_regression(self) -> bool:
        """Significant, and large enough to matter: either alone cries wolf."""
        return self.p_value < ALPHA and self.ratio > 1 + MARGIN

    @property
    def is_improvement(self) -> bool:
        return self.p_value < ALPHA and self.ratio < 1 / (1 + MARGIN)


def mann_whitney(strata: Sequence[tuple[ArrayLike, ArrayLike]]) -> Change:
    """Unmatched values (now, before) of two runs, of each prompt apart.

    Two-sided, normal approximation with correction for ties and continuity; several prompts are
    put together as van Elteren (1960) does, by weights of 1/(n + m + 1). At least one stratum,
    and in each at least one value above 0 on either side.
    """
    ranked = [_rank_sum(_array(now), _array(before)) for now, before in strata]
    distance = sum(one.weight * one.excess for one in ranked)
    step = min(one.weight for one in ranked) / 2
    calls = sum(one.calls for one in ranked)
    return Change(
        ratio=math.exp(sum(one.calls * one.log_ratio for one in ranked) / calls),
        p_value=_two_sided(abs(distance) - step, sum(o.weight**2 * o.variance for o in ranked)),
        effect=2 * sum(one.excess for one in ranked) / sum(one.pairs for one in ranked),
    )


@dataclass(frozen=True, slots=True)
class _RankSum:
    """`excess` is U less what it is expected to be among equals."""

    calls: int
    pairs: int
    weight: float
    excess: float
    variance: float
    log_ratio: float


def _rank_sum(now: Values, before: Values) -> _RankSum:
    n, m = len(now), len(before)
    ranks, ties = _ranks(np.concatenate([now, before]))
    size = n + m
    tied = float((ties**3 - ties).sum()) / (size * (size - 1))
    return _RankSum(
        calls=n,
        pairs=n * m,
        weight=1 / (size + 1),
        excess=float(ranks[:n].sum()) - n * (n + 1) / 2 - n * m / 2,
        variance=n * m / 12 * (size + 1 - tied),
        log_ratio=math.log(float(np.median(now)) / float(np.median(before))),
    )


def _two_sided(distance: float, variance: float) -> float:
    if variance <= 0 or distance <= 0:
        return 1.0
    return math.erfc(distance / math.sqrt(2 * variance))


def _ranks(values: Values) -> tuple[Values, Values]:
    """Mean ranks from 1, and how many values share each distinct one."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = last - (counts - 1) / 2
    return ranks[places].astype(np.float64), counts.astype(np.float64)


def _walsh_interval(differences: Values, alpha: float) -> tuple[float, float]:
    """The interval that belongs to the signed-rank test: between order statistics of the means
    of all pairs of differences (Walsh averages)."""
    size = len(differences)
    total = size * (size + 1) // 2
    reach = NORMAL.inv_cdf(1 - alpha / 2) * math.sqrt(_cubic(size) / 24)
    rank = max(math.floor(total / 2 - reach), 1)
    ranked = np.sort(differences)
    return _walsh(ranked, rank), _walsh(ranked, total + 1 - rank)


def _walsh_centre(differences: Values) -> float:
    total = len(differences) * (len(differences) + 1) // 2
    ranked = np.sort(differences)
    return (_walsh(ranked, (total + 1) // 2) + _walsh(ranked, total // 2 + 1)) / 2


def _walsh(ranked: Values, rank: int) -> float:
    """The rank-th smallest Walsh average, by halving: n log n each time rather than n² of them."""
    low, high = float(ranked[0]), float(ranked[-1])
    places = np.arange(len(ranked))
    for _ in range(60):
        middle = (low + high) / 2
        upto = np.searchsorted(ranked, 2 * middle - ranked, side="right")
        if int(np.maximum(upto - places, 0).sum()) >= rank:
            high = middle
        else:
            low = middle
    return high


def _ends() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def _array(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=np.float64)


def _logs(values: ArrayLike) -> Values:
    return np.log(_array(values))
