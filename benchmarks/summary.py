"""What many samples come to. Only calls that succeeded have figures; failures are counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean, mean, median

from benchmarks.plan import Step
from benchmarks.sample import Sample
from benchmarks.statistics import (
    MINIMUM,
    Estimate,
    TooFew,
    mean_estimate,
    outliers,
    percentile_estimate,
)


@dataclass(frozen=True, slots=True)
class Centre:
    """A mean or a median of each figure. `cost_usd` is None if any of the costs is unknown."""

    time_s: float
    ttft_s: float | None
    tokens: float
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Figures:
    """`mean` and `median` are None when no call succeeded."""

    calls: int
    failed: int
    mean: Centre | None
    median: Centre | None


def figures(samples: Sequence[Sample]) -> Figures:
    good = [sample for sample in samples if sample.ok]
    return Figures(
        calls=len(samples),
        failed=len(samples) - len(good),
        mean=_centre(good, fmean, mean) if good else None,
        median=_centre(good, median, median) if good else None,
    )


def _centre(
    samples: Sequence[Sample],
    floats: Callable[[list[float]], float],
    decimals: Callable[[list[Decimal]], Decimal],
) -> Centre:
    firsts = [sample.ttft_ms / 1000 for sample in samples if sample.ttft_ms is not None]
    costs = [cost for sample in samples if (cost := sample.bill.cost_usd) is not None]
    return Centre(
        time_s=floats([sample.time_s for sample in samples]),
        ttft_s=floats(firsts) if firsts else None,
        tokens=floats([float(sample.bill.total_tokens) for sample in samples]),
        cost_usd=decimals(costs) if len(costs) == len(samples) else None,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class HarnessError:
    """How far our stopwatch was from the simulator's truth, in milliseconds, over `calls`."""

    calls: int
    latency: Spread
    ttft: Spread


def harness_error(samples: Iterable[Sample]) -> HarnessError | None:
    """None where nothing is known about the truth."""
    pairs = [(sample, sample.truth) for sample in samples if sample.truth]
    if not pairs:
        return None
    return HarnessError(
        calls=len(pairs),
        latency=_spread([abs(seen.latency_ms - truth.latency_ms) for seen, truth in pairs]),
        ttft=_spread([abs((seen.ttft_ms or 0.0) - truth.ttft_ms) for seen, truth in pairs]),
    )


def _spread(values: list[float]) -> Spread:
    return Spread(p50=percentile(values, 50), p99=percentile(values, 99))


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` % of the values don't exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(len(ranked) * percent / 100), 1) - 1]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one figure scatters over the calls that have it; `percentiles` by percent."""

    mean: Estimate
    percentiles: Mapping[int, Estimate | TooFew]


def distribution(values: Sequence[float], seed: int) -> Distribution | None:
    """None without any value. The intervals are the same again for the same seed."""
    if not values:
        return None
    return Distribution(
        mean=mean_estimate(values, seed=seed),
        percentiles={
            percent: percentile_estimate(values, percent, seed=seed) for percent in MINIMUM
        },
    )


def latencies(samples: Iterable[Sample]) -> list[float]:
    return [sample.latency_ms for sample in samples if sample.ok]


def first_tokens(samples: Iterable[Sample]) -> list[float]:
    return [sample.ttft_ms for sample in samples if sample.ok and sample.ttft_ms is not None]


def outlying(samples: Sequence[Sample]) -> list[Sample]:
    """Whose time is far from the others' with the same contender and prompt: to look at, in
    every figure all the same."""
    groups: dict[Step, list[Sample]] = {}
    for sample in samples:
        if sample.ok and sample.latency_ms > 0:
            same = replace(sample.step, order=0, run=0)
            groups.setdefault(same, []).append(sample)
    return [
        sample
        for group in groups.values()
        for sample, far in zip(group, outliers(latencies(group)), strict=True)
        if far
    ]
