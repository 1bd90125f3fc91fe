"""Two runs side by side: has anything become slower or dearer since?"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from benchmarks.baseline import FIELDS, LEAST_VALUE, Question, Values
from benchmarks.changes import Changed, between
from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender
from benchmarks.plots.calls import Call, calls_of
from benchmarks.plots.cumulative import cumulative
from benchmarks.plots.figure import Figure
from benchmarks.statistics import MARGIN
from providers import registry
from usage.templatetags.usage_format import duration, usd

SHOWN = 30


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one model, then and now, as text. `word` is regression, improvement or else."""

    metric: str
    before: str
    now: str
    sentence: str
    evidence: str
    word: str
    calls: int
    calls_before: int


@dataclass(frozen=True, slots=True)
class Side:
    """What has changed of one model."""

    name: str
    lines: list[Line]
    figure: Figure | None


@require_safe
@login_required
def compare(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    own = BenchmarkRun.objects.owned_by(request.user)
    run = get_object_or_404(own, pk=pk)
    others = own.exclude(pk=pk).exclude(done=0).light()
    context: dict[str, Any] = {"run": run, "others": others[:SHOWN]}
    if asked := request.GET.get("with"):
        before = get_object_or_404(own, pk=_uuid(asked))
        context |= {"before": before, "sides": _sides(run, before), "margin": f"{MARGIN:.0%}"}
    return render(request, "benchmarks/compare.html", context)


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Http404 from None


def _sides(run: BenchmarkRun, before: BenchmarkRun) -> list[Side]:
    """One for each model that both have measured, with the same prompts and under the same
    load."""
    taken, taken_before = calls_of(run), calls_of(before)
    now = _values(taken, run.plan.get("rate"))
    then = _values(taken_before, before.plan.get("rate"))
    both = [key for key in now if key in then]
    contenders = list(dict.fromkeys(contender for contender, _, _ in both))
    questions = list(dict.fromkeys(question for _, question, _ in both))
    changed = between(now, then, contenders)
    asked = {(question.prompt, question.level) for question in questions}
    calls = [_by_model(some, asked) for some in (taken_before, taken)]
    return [
        Side(
            name=f"{registry.label(one.provider)} {one.model}",
            lines=[_line(c, now, then, questions) for c in changed if c.contender == one],
            figure=cumulative(
                {"Earlier run": calls[0][one], "This run": calls[1][one]}, "latency_ms"
            ),
        )
        for one in contenders
    ]


def _values(calls: Iterable[Call], rate: float | None) -> Values:
    """As `baseline.load` has them, of calls that have been read already."""
    found: dict[tuple[Contender, Question], list[Call]] = {}
    for model, taken in _by_model(calls).items():
        for call in taken:
            if call.ok:
                found.setdefault((model, Question(call.prompt, call.level, rate)), []).append(call)
    return {
        (model, question, field): values
        for (model, question), taken in found.items()
        for field in FIELDS
        if (values := [max(v, LEAST_VALUE) for c in taken if (v := getattr(c, field)) is not None])
    }


def _by_model(
    calls: Iterable[Call], asked: Collection[tuple[str, int]] | None = None
) -> dict[Contender, list[Call]]:
    """Whichever key they were made with, of all prompts and levels or of those."""
    by_key: dict[Contender, list[Call]] = {}
    for call in calls:
        if asked is None or (call.prompt, call.level) in asked:
            by_key.setdefault(call.contender, []).append(call)
    found: dict[Contender, list[Call]] = {}
    for own, taken in by_key.items():
        found.setdefault(Contender(own.provider, own.model), []).extend(taken)
    return found


def _line(one: Changed, now: Values, then: Values, questions: list[Question]) -> Line:
    change = one.change
    return Line(
        metric=one.metric.label,
        before=_shown(one, then, questions),
        now=_shown(one, now, questions),
        sentence=_sentence(one),
        evidence=f"×{change.ratio:.2f}, {_p_value(change.p_value)}, effect {change.effect:+.2f}"
        if change
        else "",
        word=one.word,
        calls=one.calls,
        calls_before=one.before,
    )


def _shown(one: Changed, values: Values, questions: list[Question]) -> str:
    """The median over those questions."""
    found = [v for q in questions for v in values.get((one.contender, q, one.metric.field), ())]
    if not found:
        return "–"
    if one.metric.field == "cost_usd":
        return usd(Decimal(repr(median(found))))
    return duration(median(found))


def _sentence(one: Changed) -> str:
    if one.change is None:
        return "Too few calls to tell"
    by = f"{abs(1 - one.change.ratio):.0%}"
    words = {
        "regression": f"{one.metric.higher.capitalize()} by {by}",
        "improvement": f"{one.metric.lower.capitalize()} by {by}",
    }
    return words.get(one.word, "No change that is sure and matters")


def _p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p {value:.3f}"
