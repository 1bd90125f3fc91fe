"""Pages to start a run, to watch it, to stop it and to delete it."""

from __future__ import annotations

import uuid
from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from benchmarks import background, store
from benchmarks.forms import RunForm
from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender, Plan
from benchmarks.progress_pages import progress_of
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from benchmarks.starting import LIMITS, StartError, start

TRIED = ("openai", "google", "anthropic")


@login_required
def new(request: HttpRequest) -> HttpResponse:
    """The form; a POST starts the run, and an `estimate` in it only says what that would cost."""
    form = RunForm(request.POST or None, request.FILES or None, owner=request.user)
    if request.method == "POST" and form.is_valid() and "estimate" not in request.POST:
        run = start(plan=form.plan, source=Source.USER, user=request.user)
        return redirect("benchmarks:run", pk=run.pk)
    if request.method != "POST":
        form.estimate_before_changes()
    status = 422 if request.method == "POST" and form.errors else 200
    part = request.headers.get("X-Requested-With") == "fetch"
    template = "benchmarks/_estimate.html" if part else "benchmarks/new.html"
    context = {"form": form, "simulator": bool(settings.SIMULATOR_URL)}
    return render(request, template, context, status=200 if part else status)


@login_required
@require_POST
def simulated(request: HttpRequest) -> HttpResponse:
    """A run against the simulator, for whoever has no key yet."""
    if not settings.SIMULATOR_URL:
        messages.error(request, "The simulator is switched off on this server.")
        return redirect("benchmarks:new")
    plan = Plan(
        contenders=tuple(Contender(provider, "") for provider in TRIED),
        seed=0,
        prompts=PROMPTS[:1],
        runs=20,
        max_cost=Decimal(1),
    )
    run = start(plan=plan, source=Source.SIMULATOR, user=request.user)
    return redirect("benchmarks:run", pk=run.pk)


@require_safe
@login_required
def progress(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The part of a run's page that changes while it goes on."""
    run = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    context = {"run": run, "progress": progress_of(run)}
    return render(request, "benchmarks/_progress.html", context)


@login_required
@require_POST
def cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    run = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    if not store.cancel(run.pk):
        messages.info(request, "It is over already.")
    return redirect("benchmarks:run", pk=run.pk)


@login_required
@require_POST
def go_on(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Makes the calls that are still missing of a run that stopped early."""
    run = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    try:
        limit = _limit(request.POST.get("max_cost", ""))
        store.reopen(run.pk, max_cost=limit)
    except (store.NotResumable, StartError) as error:
        messages.error(request, str(error))
    else:
        background.go_on(run.pk)
    return redirect("benchmarks:run", pk=run.pk)


@login_required
@require_POST
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    run = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    try:
        store.delete(run.pk)
    except store.UnderWay as error:
        messages.error(request, str(error))
        return redirect("benchmarks:run", pk=run.pk)
    messages.success(request, "Benchmark deleted. What its calls cost stays in your usage.")
    return redirect("benchmarks:runs")


class NoAmount(StartError):
    """Name an amount in US dollars, more than 0 and at most 1,000."""


def _limit(text: str) -> Decimal | None:
    """None without an amount: the old one stays. Raises NoAmount."""
    if not text.strip():
        return None
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise NoAmount from None
    if not amount.is_finite() or not 0 < amount <= LIMITS["max_value"]:
        raise NoAmount
    return amount
