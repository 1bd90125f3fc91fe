"""Pages for schedules."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from benchmarks.forms import RhythmForm, RunForm
from benchmarks.models import BenchmarkSchedule
from benchmarks.pages import contender_names


@require_safe
@login_required
def schedules(request: HttpRequest) -> HttpResponse:
    own = BenchmarkSchedule.objects.owned_by(request.user).select_related("access_token")
    rows = [(one, contender_names(one.plan), one.runs.first()) for one in own]
    return render(request, "benchmarks/schedules.html", {"rows": rows})


@login_required
def new(request: HttpRequest) -> HttpResponse:
    """The form of a run, and when to make it."""
    form = RunForm(request.POST or None, request.FILES or None, owner=request.user)
    rhythm = RhythmForm(request.POST or None)
    sent = request.method == "POST"
    good = sent and form.is_valid() and rhythm.is_valid()
    if good and "estimate" not in request.POST:
        schedule = rhythm.keep(request.user, form.plan)
        messages.success(request, f"Schedule {schedule.name} made: {schedule.rhythm}.")
        return redirect("benchmarks:schedules")
    if not sent:
        form.estimate_before_changes()
    part = request.headers.get("X-Requested-With") == "fetch"
    template = "benchmarks/_estimate.html" if part else "benchmarks/new.html"
    status = 422 if sent and not good and not part else 200
    return render(request, template, {"form": form, "rhythm": rhythm}, status=status)


@login_required
@require_POST
def switch(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """On or off. Switched on, it is next due from now on."""
    row = get_object_or_404(BenchmarkSchedule.objects.owned_by(request.user), pk=pk)
    row.is_active = not row.is_active
    if row.is_active:
        row.next_at = row.rhythm.following(row.next_at, timezone.now())
        row.note = ""
    row.save(update_fields=["is_active", "next_at", "note", "updated_at"])
    return redirect("benchmarks:schedules")


@login_required
@require_POST
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(BenchmarkSchedule.objects.owned_by(request.user), pk=pk)
    row.delete()
    messages.success(request, f"Schedule {row.name} deleted. Its runs stay.")
    return redirect("benchmarks:schedules")
