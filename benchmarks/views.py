"""Pages of benchmark runs: a person's own ones, and what one of them came to."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from benchmarks import pages
from benchmarks.models import BenchmarkRun

RUNS_PER_PAGE = 50


@require_safe
@login_required
def runs(request: HttpRequest) -> HttpResponse:
    own = BenchmarkRun.objects.owned_by(request.user).defer("summary", "verdicts", "environment")
    page = Paginator(own, RUNS_PER_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "benchmarks/runs.html",
        {"page": page, "rows": [(run, pages.names(run)) for run in page]},
    )


@require_safe
@login_required
def run(request: HttpRequest, pk: str) -> HttpResponse:
    found = get_object_or_404(BenchmarkRun.objects.owned_by(request.user), pk=pk)
    context = {
        "run": found,
        "tables": pages.tables(found),
        "judgements": pages.judgements(found),
    }
    return render(request, "benchmarks/run.html", context)
