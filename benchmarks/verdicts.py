"""Who is faster, whose first token comes sooner, who is cheaper: contenders two by two, on
matched calls (same prompt, same round), so that what slowed a round for all cancels out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from benchmarks.paired import Comparison, Conclusion, compare, judged
from benchmarks.plan import Contender
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import HarnessError, harness_error

LEAST_COST = 1e-9  # what the ledger can tell from nothing; ratios need more than 0


@dataclass(frozen=True, slots=True)
class Metric:
    """What is compared. `value` of a sample is None where it has none; lower is better."""

    field: str
    label: str
    lower: str
    higher: str
    value: Callable[[Sample], float | None]
    error: Callable[[HarnessError], float | None]


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
    Metric("cost_usd", "cost", "cheaper", "dearer", _cost, lambda error: None),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """About `first` in comparison with `second`. `comparison` is None where not one pair of
    calls has the figure; `unmatched` rounds had it for one of the two at most."""

    metric: Metric
    first: Contender
    second: Contender
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

    def more_runs(self, prompts: int) -> int | None:
        """About how many more `--runs` it takes: each brings one pair per prompt."""
        more = self.comparison.more if self.comparison else None
        return None if more is None else math.ceil(more / prompts)


def verdicts(run: Run) -> list[Verdict]:
    """For each metric all pairs of contenders, each metric's corrected for their number."""
    error = harness_error(run)
    return [found for metric in METRICS for found in _of_metric(run, metric, error)]


def _of_metric(run: Run, metric: Metric, error: HarnessError | None) -> Iterable[Verdict]:
    values = {contender: _values(run, metric, contender) for contender in run.contenders}
    pairs = list(combinations(run.contenders, 2))
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
    judgements = judged(found, harness_error=metric.error(error) if error else None)
    by_pair = dict(zip(compared, judgements, strict=True))
    for first, second in pairs:
        either = values[first].keys() | values[second].keys()
        unmatched = len(either) - len(matched[first, second])
        yield Verdict(metric, first, second, unmatched, by_pair.get((first, second)))


def _values(run: Run, metric: Metric, contender: Contender) -> Mapping[tuple[int, str, int], float]:
    """The figure of each call that succeeded, by concurrency, prompt and round."""
    return {
        (sample.step.level, sample.step.prompt.name, sample.step.run): value
        for sample in run.measured
        if sample.step.contender == contender and sample.ok
        if (value := metric.value(sample)) is not None and value > 0
    }
