"""This run against an earlier one: has anything become slower or dearer?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.baseline import Baseline
from benchmarks.plan import Contender
from benchmarks.prompts import Prompt
from benchmarks.run import Run
from benchmarks.statistics import Change, holm, mann_whitney
from benchmarks.verdicts import METRICS, Metric

FEWEST_CALLS = 8  # of either run; the rank test's normal approximation is fair from here on


@dataclass(frozen=True, slots=True)
class Changed:
    """One contender's metric, `calls` of this run against `before` of the earlier one. `change`
    is None where there are too few calls on either side."""

    metric: Metric
    contender: Contender
    calls: int
    before: int
    change: Change | None

    @property
    def word(self) -> str:
        if self.change is None:
            return "too_few_calls"
        if self.change.is_regression:
            return "regression"
        return "improvement" if self.change.is_improvement else "no_change"


def changes(run: Run) -> list[Changed]:
    """For each metric and contender, corrected for their number by Holm's method; none without
    an earlier run to compare with."""
    if run.baseline is None:
        return []
    found = [
        _changed(run, run.baseline, metric, one) for metric in METRICS for one in run.contenders
    ]
    tested = [one.change for one in found if one.change]
    corrected = iter(holm([change.p_value for change in tested]))
    return [
        replace(one, change=replace(one.change, p_value=next(corrected))) if one.change else one
        for one in found
    ]


def _changed(run: Run, baseline: Baseline, metric: Metric, contender: Contender) -> Changed:
    strata = [
        (now, before)
        for prompt in run.plan.prompts
        if (now := _values(run, metric, contender, prompt))
        if (before := baseline.values.get((contender, prompt.name, metric.field)))
    ]
    calls, earlier = sum(len(now) for now, _ in strata), sum(len(before) for _, before in strata)
    enough = min(calls, earlier) >= FEWEST_CALLS
    return Changed(metric, contender, calls, earlier, mann_whitney(strata) if enough else None)


def _values(run: Run, metric: Metric, contender: Contender, prompt: Prompt) -> list[float]:
    return [
        value
        for sample in run.measured
        if sample.step.contender == contender and sample.step.prompt == prompt and sample.ok
        if (value := metric.value(sample)) is not None and value > 0
    ]
