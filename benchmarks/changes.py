"""This run against an earlier one: has anything become slower or dearer?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

from benchmarks.baseline import Question, Values
from benchmarks.plan import Contender
from benchmarks.run import Run
from benchmarks.statistics import holm
from benchmarks.unpaired import Change, mann_whitney
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
    return between(_values(run), run.baseline.values, run.contenders)


def between(now: Values, before: Values, contenders: Iterable[Contender]) -> list[Changed]:
    """The same of values. What came before is looked up by provider and model, whichever key it
    was measured with."""
    questions = list(dict.fromkeys(question for _, question, _ in now))
    found = [
        _changed(now, before, metric, one, questions)
        for metric, one in product(METRICS, contenders)
    ]
    tested = [one.change for one in found if one.change]
    corrected = iter(holm([change.p_value for change in tested]))
    return [
        replace(one, change=replace(one.change, p_value=next(corrected))) if one.change else one
        for one in found
    ]


def _changed(
    now: Values,
    before: Values,
    metric: Metric,
    contender: Contender,
    questions: Iterable[Question],
) -> Changed:
    keyless = Contender(contender.provider, contender.model)
    strata = [
        (own, other)
        for question in questions
        if (own := now.get((contender, question, metric.field)))
        if (other := before.get((keyless, question, metric.field)))
    ]
    calls, earlier = sum(len(own) for own, _ in strata), sum(len(other) for _, other in strata)
    enough = min(calls, earlier) >= FEWEST_CALLS
    return Changed(metric, contender, calls, earlier, mann_whitney(strata) if enough else None)


def _values(run: Run) -> Values:
    found: dict[tuple[Contender, Question, str], list[float]] = {}
    for sample, metric in product(run.measured, METRICS):
        value = metric.value(sample)
        if sample.ok and value is not None and value > 0:
            question = Question(sample.step.prompt.name, sample.step.level, run.plan.rate)
            key = (sample.step.contender, question, metric.field)
            found.setdefault(key, []).append(value)
    return found
