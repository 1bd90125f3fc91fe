"""Staff's page of how the ledger compares with what providers billed."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from usage.models import Reconciliation

RUNS = 20


@login_required
def reconciliation(request: HttpRequest) -> HttpResponse:
    """The last runs, and the days of the one that `?run=` names, or of the latest."""
    if not request.user.is_staff:
        raise Http404
    runs = list(Reconciliation.objects.all()[:RUNS])
    asked = request.GET.get("run", "")
    shown = next((run for run in runs if str(run.pk) == asked), runs[0] if runs else None)
    return render(request, "usage/reconciliation.html", {"runs": runs, "shown": shown})
