"""Pages for one's own model aliases."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from credentials.alias_forms import AliasForm
from credentials.models import ModelAlias


@login_required
def aliases_list(request: HttpRequest) -> HttpResponse:
    own = ModelAlias.objects.owned_by(request.user).select_related("credential")
    return render(request, "credentials/aliases.html", {"aliases": own})


@login_required
def alias_new(request: HttpRequest) -> HttpResponse:
    return _form_page(request, AliasForm(request.POST or None, owner=request.user))


@login_required
def alias_edit(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(ModelAlias.objects.owned_by(request.user), pk=pk)
    return _form_page(request, AliasForm(request.POST or None, instance=row, owner=request.user))


def _form_page(request: HttpRequest, form: AliasForm) -> HttpResponse:
    if request.method == "POST" and form.is_valid():
        row = form.save()
        messages.success(request, f"Calls for {row.name} now go to {row.model_name}.")
        return redirect("credentials:aliases")
    status = 422 if form.errors else 200
    return render(request, "credentials/alias_form.html", {"form": form}, status=status)


@login_required
@require_POST
def alias_delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(ModelAlias.objects.owned_by(request.user), pk=pk)
    row.delete()
    messages.success(request, f"Alias {row.name} deleted.")
    return redirect("credentials:aliases")
