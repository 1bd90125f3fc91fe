"""Two contenders on matched calls: Wilcoxon's signed-rank test, its interval, and a conclusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.statistics import ALPHA, MARGIN, Values, array, holm, mean_ranks, two_sided

POWER = 0.8  # how sure "about N more" should make
FEWEST_PAIRS = 12  # the normal approximation of the signed-rank test is fair from here on
NORMAL = NormalDist()


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


def compare(first: ArrayLike, second: ArrayLike, *, comparisons: int = 1) -> Comparison:
    """Matched values against each other, not yet judged. `comparisons` widens the interval to
    what holds for that many at once. Values must be above 0, and at least one pair given."""
    one, other = array(first), array(second)
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
    comparisons: Sequence[Comparison], *, harness_errors: Sequence[float | None] = ()
) -> list[Comparison]:
    """Each with its conclusion. `harness_errors`, one for each, are in the unit of the values."""
    corrected = holm([one.p_value for one in comparisons])
    errors = harness_errors or [None] * len(comparisons)
    return [
        _judge(replace(one, p_value=p_value), len(comparisons), error)
        for one, p_value, error in zip(comparisons, corrected, errors, strict=True)
    ]


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
    data = array(differences)
    size, zeros = len(data), int(np.count_nonzero(data == 0))
    ranks, ties = mean_ranks(np.abs(data))
    up, down = float(ranks[data > 0].sum()), float(ranks[data < 0].sum())
    if zeros == size:
        return 1.0, 0.0
    effect = (up - down) / (up + down)
    tied = float((ties**3 - ties).sum()) - (zeros**3 - zeros)
    variance = (_cubic(size) - _cubic(zeros)) / 24 - tied / 48
    centre = (size * (size + 1) - zeros * (zeros + 1)) / 4
    return two_sided(abs(up - centre) - 0.5, variance), effect


def _cubic(size: int) -> int:
    return size * (size + 1) * (2 * size + 1)


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
