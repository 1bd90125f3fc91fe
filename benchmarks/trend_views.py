"""A page for how a model has been doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from benchmarks.trends import DAYS, History, Subject, by_hour, history, over_time
from usage.budget_models import known_time_zone


class TrendForm(forms.Form):
    """Which model, which prompt, how far back; what is not chosen is what there is most of."""

    days = forms.TypedChoiceField(
        choices=[(days, f"{days} days") for days in DAYS], coerce=int, required=False
    )
    model = forms.CharField(required=False)
    prompt = forms.CharField(required=False)
    zone = forms.CharField(
        required=False, label="Time zone", max_length=40, validators=[known_time_zone]
    )

    def chosen(self, name: str, otherwise: Any) -> Any:
        self.is_valid()
        return self.cleaned_data.get(name) or otherwise


@require_safe
@login_required
def trends(request: HttpRequest) -> HttpResponse:
    form = TrendForm(request.GET)
    days = form.chosen("days", DAYS[1])
    found = history(request.user, days)
    context: dict[str, Any] = {
        "form": form,
        "days": days,
        "periods": DAYS,
        "zone": form.chosen("zone", "UTC"),
        "subjects": found.subjects,
    }
    if found.subjects:
        context |= _chosen(form, found)
    return render(request, "benchmarks/trends.html", context)


def _chosen(form: TrendForm, found: History) -> Mapping[str, Any]:
    subject = _first(found.subjects, form.chosen("model", ""))
    prompts = found.prompts(subject)
    asked = form.chosen("prompt", "")
    prompt = asked if asked in prompts else prompts[0]
    zone = ZoneInfo(form.chosen("zone", "UTC"))
    points = found.points(subject, prompt)
    hours = by_hour(found.runs(subject), subject, prompt, zone)
    figures = [*(over_time(points, zone) if points else ()), *([hours] if hours else ())]
    return {"subject": subject, "prompts": prompts, "prompt": prompt, "figures": figures}


def _first(subjects: list[Subject], key: str) -> Subject:
    return next((one for one in subjects if one.key == key), subjects[0])
