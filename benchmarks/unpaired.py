"""One run against another, whose calls have no pairs: Mann-Whitney's test, prompt by prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.statistics import ALPHA, MARGIN, Values, array, mean_ranks, two_sided


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
    ranked = [_rank_sum(array(now), array(before)) for now, before in strata]
    distance = sum(one.weight * one.excess for one in ranked)
    step = min(one.weight for one in ranked) / 2
    calls = sum(one.calls for one in ranked)
    return Change(
        ratio=math.exp(sum(one.calls * one.log_ratio for one in ranked) / calls),
        p_value=two_sided(abs(distance) - step, sum(o.weight**2 * o.variance for o in ranked)),
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
    ranks, ties = mean_ranks(np.concatenate([now, before]))
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
