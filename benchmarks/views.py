"""Pages of benchmark runs: a person's own ones, what one of them came to, and its calls."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from benchmarks import pages
from benchmarks.forms import RunsForm
from benchmarks.models import BenchmarkRun
from benchmarks.plots.calls import calls_of
from benchmarks.plots.sheet import figures
from benchmarks.progress_pages import progress_of

RUNS_PER_PAGE = 50
CALLS_PER_PAGE = 100
ONLY = {
    "": ("All", Q()),
    "failed": ("Failed", ~Q(status="ok")),
    "outliers": ("Outliers", Q(is_outlier=True)),
    "warm-up": ("Warm-up", Q(is_cold=True)),
}


@require_safe
@login_required
def runs(request: HttpRequest) -> HttpResponse:
    own = BenchmarkRun.objects.owned_by(request.user)
    form = RunsForm(request.GET)
    found = form.filtered(own).select_related("schedule").light()
    page = Paginator(found, RUNS_PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "form": form,
        "page": page,
        "rows": [(run, pages.contender_names({"contenders": run.contenders})) for run in page],
        "query": f"{query.urlencode()}&" if query else "",
        "ever": bool(page.paginator.count) or own.exists(),
    }
    return render(request, "benchmarks/runs.html", context)


@require_safe
@login_required
def run(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    prompts, prompt = pages.prompts(found), request.GET.get("prompt")
    chosen = prompt if prompt in prompts else None
    taken = [] if found.is_under_way else calls_of(found)
    calls = [call for call in taken if chosen in (None, call.prompt)]
    context = {
        "run": found,
        "progress": progress_of(found),
        "judgements": pages.judgements(found),
        "prompts": prompts,
        "chosen": chosen,
        "sheet": pages.sheet(found, chosen),
        "figures": figures(pages.by_name(found, calls)),
        "facts": pages.facts(found),
        "exactness": pages.exactness(found),
    }
    return render(request, "benchmarks/run.html", context)


@require_safe
@login_required
def samples(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    found = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    only = request.GET.get("only", "")
    only = only if only in ONLY else ""
    rows = found.samples.filter(ONLY[only][1]).order_by("order")
    page = Paginator(rows, CALLS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "run": found,
        "page": page,
        "only": only,
        "kinds": [(key, label) for key, (label, _) in ONLY.items()],
        "query": f"only={only}&" if only else "",
    }
    return render(request, "benchmarks/samples.html", context)
