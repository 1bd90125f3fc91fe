"""The part of the report that judges: how the times scatter, who wins, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.changes import Changed, changes
from benchmarks.estimates import Estimate, TooFew
from benchmarks.paired import Comparison
from benchmarks.plan import Contender
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.statistics import MARGIN, MINIMUM
from benchmarks.summary import (
    checked,
    distribution,
    first_tokens,
    inter_token,
    latencies,
    outlying,
    rates,
    tokens_told,
)
from benchmarks.verdicts import Verdict, verdicts

TOKENS_APART = 0.1


def spread(run: Run, name: str, values: Sequence[float], digits: int = 0) -> Iterator[str]:
    """One contender's figure over all prompts, as a line or two."""
    found = distribution(values, run.plan.seed)
    if found:
        yield f"  {name}: mean {_interval(found.mean, digits)}"
        by_percent = found.percentiles
        shown = [f"p{percent} {_interval(by_percent[percent], digits)}" for percent in MINIMUM]
        yield f"    {', '.join(shown)}"


def spreads(run: Run, contender: Contender) -> Iterator[str]:
    taken = [sample for sample in run.measured if sample.step.contender == contender]
    yield from spread(run, "response time, ms", latencies(taken))
    yield from spread(run, "first token, ms", first_tokens(taken))
    yield from spread(run, "inter-token, ms", inter_token(taken), digits=2)
    yield from spread(run, "output tokens/s", rates(taken))
    yield from _of_answers(taken)
    far = len(outlying(taken))
    if far:
        yield f"  outliers: {far} of {len(taken)} calls (in all figures)"
    if run.plan.slo and taken:
        share = run.plan.slo.goodput(taken)
        yield f"  goodput: {share:.0%} of {len(taken)} calls within {run.plan.slo}"


def _of_answers(taken: Sequence[Sample]) -> Iterator[str]:
    """What was in them: right or not, and as many tokens as we count or not."""
    if found := checked(taken):
        cost = "n/a" if found.cost_per_passed is None else f"${found.cost_per_passed:.6f}"
        yield f"  checks: {found.passed} of {found.checked} passed, {cost} for each that did"
    told = tokens_told(taken)
    if told is not None and abs(told - 1) > TOKENS_APART:
        yield (
            f"  warning: {told:.0%} of the tokens that we count in its texts were reported: another"
            " tokenizer, or tokens that nobody saw"
        )


def _interval(found: Estimate | TooFew, digits: int) -> str:
    if isinstance(found, TooFew):
        return str(found)
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def verdict_lines(run: Run, names: dict[Contender, str]) -> Iterator[str]:
    """Nothing where only one contender took part."""
    found = sorted(verdicts(run), key=lambda one: (_place(run, one.first), _place(run, one.second)))
    for (first, second), same in groupby(found, lambda one: (one.first, one.second)):
        yield ""
        yield f"{names[first]} compared with {names[second]}:"
        for one in same:
            at = "" if one.level is None else f", {one.level} at a time"
            yield f"  {one.metric.label}{at}: {_sentence(one, run, names)}"


def change_lines(run: Run, names: dict[Contender, str]) -> Iterator[str]:
    found = changes(run)
    for contender in run.contenders:
        yield ""
        yield f"{names[contender]}:"
        for one in found:
            if one.contender == contender:
                yield f"  {one.metric.label}: {_changed(one)}"


def _changed(one: Changed) -> str:
    change = one.change
    if change is None:
        return f"too few calls to tell ({one.calls} now, {one.before} before)"
    words = {"regression": one.metric.higher, "improvement": one.metric.lower}
    said = words.get(one.word)
    said = (
        f"{said} by {abs(1 - change.ratio):.0%}" if said else "no change that is sure and matters"
    )
    counts = f"{one.calls} calls, {one.before} before"
    return f"{said} (x{change.ratio:.2f}, {_p_value(change.p_value)}, {counts})"


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.3f}"


def _place(run: Run, contender: Contender) -> int:
    return run.contenders.index(contender)


def _sentence(one: Verdict, run: Run, names: dict[Contender, str]) -> str:
    found = one.comparison
    if found is None:
        return "n/a"
    aside = f", {one.unmatched} rounds without a pair" if one.unmatched else ""
    return f"{_conclusion(one, found, run, names)} {_evidence(found)}{aside}"


def _conclusion(one: Verdict, found: Comparison, run: Run, names: dict[Contender, str]) -> str:
    if one.word in (one.metric.lower, one.metric.higher):
        return f"{names[one.first]} is {one.word} by {abs(1 - found.ratio):.0%}"
    if one.word == "no_difference":
        return f"no difference of {MARGIN:.0%} or more"
    if one.word == "refused":
        return "no verdict, the error of the stopwatch is larger than the difference"
    more = one.more_runs(run.plan)
    return f"inconclusive, about {more} more {'run' if more == 1 else 'runs'} needed"


def _evidence(found: Comparison) -> str:
    return (
        f"(x{found.ratio:.2f}, {found.low:.2f} to {found.high:.2f}; effect {found.effect:+.2f}, "
        f"{_p_value(found.p_value)}, {found.pairs} pairs)"
    )
