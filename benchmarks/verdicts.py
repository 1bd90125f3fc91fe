"""Who is faster, whose first token comes sooner, who is cheaper: contenders two by two, on
matched calls (same prompt, same round), so that what slowed a round for all cancels out.

Times with one call at a time and with sixteen are two questions, so each number of calls has its
verdicts; what a call costs is one, whatever goes on beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from benchmarks.paired import Comparison, Conclusion, compare, judged
from benchmarks.plan import Contender, Plan
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import HarnessError, harness_error

LEAST_COST = 1e-9  # what the ledger can tell from nothing; ratios need more than 0


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared. `value` of a sample is None where it has none; lower is better. `loaded`
    ones depend on how many calls are under way."""

    field: str
    label: str
    lower: str
    higher: str
    value: Callable[[Sample], float | None]
    error: Callable[[HarnessError], float | None]
    loaded: bool = True


def _cost(sample: Sample) -> float | None:
    cost = sample.bill.cost_usd
    return None if cost is None else max(float(cost), LEAST_COST)


METRICS = (
    Metric(
        "latency_ms",
        "response time",
        "faster",
        "slower",
        lambda sample: sample.latency_ms,
        lambda error: error.last_token.p50,
    ),
    Metric(
        "ttft_ms",
        "first token",
        "faster",
        "slower",
        lambda sample: sample.ttft_ms,
        lambda error: error.ttft.p50,
    ),
    Metric("cost_usd", "cost", "cheaper", "dearer", _cost, lambda error: None, loaded=False),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """About `first` in comparison with `second`, with `level` calls at a time (None: all calls).
    `comparison` is None where not one pair of calls has the figure; `unmatched` rounds had it for
    one of the two at most."""

    metric: Metric
    first: Contender
    second: Contender
    level: int | None
    unmatched: int
    comparison: Comparison | None

    @property
    def word(self) -> str:
        if self.comparison is None:
            return "not_available"
        words = {
            Conclusion.LOWER: self.metric.lower,
            Conclusion.HIGHER: self.metric.higher,
            Conclusion.SAME: "no_difference",
        }
        conclusion = self.comparison.conclusion
        return words.get(conclusion, conclusion.value)

    def more_runs(self, plan: Plan) -> int | None:
        """About how many more `--runs` it takes: each brings one pair per prompt, and per number
        of calls at a time where these are not told apart."""
        more = self.comparison.more if self.comparison else None
        pairs = len(plan.prompts) * (len(plan.levels) if self.level is None else 1)
        return None if more is None else math.ceil(more / pairs)


def verdicts(run: Run) -> list[Verdict]:
    """For each metric all pairs of contenders at each number of calls at a time, each metric's
    corrected for how many they are."""
    several = len(run.plan.levels) > 1 and not run.plan.rate
    levels: Sequence[int | None] = run.plan.levels if several else (None,)
    errors = {level: harness_error(run, level) for level in (*levels, None)}
    return [
        found
        for metric in METRICS
        for found in _of_metric(run, metric, levels if metric.loaded else (None,), errors)
    ]


def _of_metric(
    run: Run,
    metric: Metric,
    levels: Sequence[int | None],
    errors: Mapping[int | None, HarnessError | None],
) -> Iterable[Verdict]:
    values = {
        (contender, level): _values(run, metric, contender, level)
        for contender in run.contenders
        for level in levels
    }
    pairs = [
        ((first, level), (second, level))
        for level in levels
        for first, second in combinations(run.contenders, 2)
    ]
    matched = {pair: values[pair[0]].keys() & values[pair[1]].keys() for pair in pairs}
    compared = [pair for pair in pairs if matched[pair]]
    found = [
        compare(
            [values[first][key] for key in sorted(matched[first, second])],
            [values[second][key] for key in sorted(matched[first, second])],
            comparisons=len(compared),
        )
        for first, second in compared
    ]
    coarse = [
        metric.error(error) if (error := errors[level]) else None for (_, level), _ in compared
    ]
    by_pair = dict(zip(compared, judged(found, harness_errors=coarse), strict=True))
    for one, other in pairs:
        unmatched = len(values[one].keys() | values[other].keys()) - len(matched[one, other])
        yield Verdict(metric, one[0], other[0], one[1], unmatched, by_pair.get((one, other)))


def _values(
    run: Run, metric: Metric, contender: Contender, level: int | None
) -> Mapping[tuple[int, str, int], float]:
    """The figure of each call that succeeded, by concurrency, prompt and round."""
    return {
        (sample.step.level, sample.step.prompt.name, sample.step.run): value
        for sample in run.measured
        if sample.step.contender == contender and sample.ok
        if level in (None, sample.step.level)
        if (value := metric.value(sample)) is not None and value > 0
    }
