"""Pages for budgets: one's own to change, and those that staff have set for one to see."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from usage.budget_forms import OwnBudgetForm
from usage.budget_models import Budget
from usage.budgets import fresh


@login_required
def budgets(request: HttpRequest) -> HttpResponse:
    own = Budget.objects.owned_by(request.user)
    given = Budget.objects.given_to(request.user)
    context = {
        "own": fresh(own.select_related("access_token", "credential")),
        "given": fresh(given),
    }
    return render(request, "usage/budgets.html", context)


@login_required
def budget_new(request: HttpRequest) -> HttpResponse:
    return _form_page(request, OwnBudgetForm(request.POST or None, owner=request.user))


@login_required
def budget_edit(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(Budget.objects.owned_by(request.user), pk=pk)
    form = OwnBudgetForm(request.POST or None, instance=row, owner=request.user)
    return _form_page(request, form)


def _form_page(request: HttpRequest, form: OwnBudgetForm) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        row = form.save()
        messages.success(request, f"Budget {row.name} saved: it holds from now on.")
        return redirect("usage:budgets")
    status = 422 if form.errors else 200
    return render(request, "usage/budget_form.html", {"form": form}, status=status)


@login_required
@require_POST
def budget_delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(Budget.objects.owned_by(request.user), pk=pk)
    row.delete()
    messages.success(request, f"Budget {row.name} deleted.")
    return redirect("usage:budgets")
