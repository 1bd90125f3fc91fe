"""What many samples come to. Only calls that succeeded have figures; failures are counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean, mean, median

from benchmarks.estimates import Estimate, TooFew, mean_estimate, outliers, percentile_estimate
from benchmarks.plan import Step
from benchmarks.run import Run
from benchmarks.sample import Error, Sample
from benchmarks.statistics import MINIMUM


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
    """How far our stopwatch was from the simulator's truth, either way, in milliseconds, over
    `calls`, with the numbers of `at_a_time` under way. `itl` is None where no answer had two
    tokens."""

    calls: int
    at_a_time: tuple[int, ...]
    ttft: Spread
    itl: Spread | None
    last_token: Spread


def harness_error(run: Run, level: int | None = None) -> HarnessError | None:
    """From the measured calls themselves where their truth is known, else as it was before them;
    with `level` calls at a time, or with any number. None where nothing is known of the truth."""
    by_level = _known_errors(run) or run.harness
    found = {at: errors for at, errors in by_level.items() if level in (None, at) and errors}
    errors = [error for some in found.values() for error in some]
    if not errors:
        return None
    return HarnessError(
        calls=len(errors),
        at_a_time=tuple(sorted(found)),
        ttft=_spread([error.ttft_ms for error in errors]),
        itl=_spread(itls) if (itls := [e.itl_ms for e in errors if e.itl_ms is not None]) else None,
        last_token=_spread([error.last_token_ms for error in errors]),
    )


def _known_errors(run: Run) -> dict[int, list[Error]]:
    found: dict[int, list[Error]] = {}
    for sample in run.measured:
        if error := sample.harness_error:
            found.setdefault(sample.step.level, []).append(error)
    return found


def _spread(errors: list[float]) -> Spread:
    sizes = [abs(error) for error in errors]
    return Spread(p50=percentile(sizes, 50), p99=percentile(sizes, 99))


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


def inter_token(samples: Iterable[Sample]) -> list[float]:
    return [itl for sample in samples if sample.ok and (itl := sample.itl_ms) is not None]


def rates(samples: Iterable[Sample]) -> list[float]:
    """Output tokens a second."""
    return [rate for sample in samples if (rate := sample.tokens_per_s) is not None]


@dataclass(frozen=True, slots=True)
class Checked:
    """How many answers were held against their prompts' checks, and passed. A call that failed has
    not. `cost_per_passed` is what all of them cost for each that passed: None if none did, or a
    cost is not known."""

    checked: int
    passed: int
    cost_per_passed: Decimal | None


def checked(samples: Iterable[Sample]) -> Checked | None:
    """None without any checks."""
    held = [sample for sample in samples if sample.passed is not None]
    if not held:
        return None
    passed = sum(bool(sample.passed) for sample in held)
    costs = [cost for sample in held if (cost := sample.bill.cost_usd) is not None]
    known = len(costs) == len(held) and passed
    return Checked(len(held), passed, sum(costs, Decimal(0)) / passed if known else None)


def tokens_told(samples: Iterable[Sample]) -> float | None:
    """Tokens that the provider reported for its texts, by those that we count in them."""
    both = [
        (sample.visible_tokens, sample.counted_tokens)
        for sample in samples
        if sample.ok and sample.counted_tokens and sample.bill.usage_source == "reported"
    ]
    return sum(told for told, _ in both) / sum(count for _, count in both) if both else None


def outlying(samples: Sequence[Sample]) -> list[Sample]:
    """Whose time is far from the others' with the same contender and prompt: to look at, in
    every figure all the same."""
    groups: dict[Step, list[Sample]] = {}
    for sample in samples:
        if sample.ok and sample.latency_ms > 0:
            same = replace(sample.step, order=0, block=0, run=0)
            groups.setdefault(same, []).append(sample)
    return [
        sample
        for group in groups.values()
        for sample, far in zip(group, outliers(latencies(group)), strict=True)
        if far
    ]
