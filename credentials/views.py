"""Pages for one's own keys."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from credentials import services
from credentials.forms import CredentialForm
from credentials.models import LLMCredential
from providers import registry


@login_required
def credentials_list(request: HttpRequest) -> HttpResponse:
    own = LLMCredential.objects.owned_by(request.user).active()
    return render(request, "credentials/list.html", {"credentials": own})


@login_required
def credential_add(request: HttpRequest) -> HttpResponse:
    form = CredentialForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and (added := form.save(request.user)):
        messages.success(request, f"Key {added.api_key_masked} added.")
        return redirect("credentials:list")
    rows = [registry.get(name) for name in registry.names()]
    context = {"form": form, "providers": rows, "simulator": bool(settings.SIMULATOR_URL)}
    return render(request, "credentials/add.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def credential_default(request: HttpRequest, pk: str) -> HttpResponse:
    credential = _own(request, pk)
    services.update_credential(credential=credential, is_default=True)
    messages.success(request, f"{credential.name} is your default now.")
    return redirect("credentials:list")


@login_required
@require_POST
def credential_delete(request: HttpRequest, pk: str) -> HttpResponse:
    credential = _own(request, pk)
    services.delete_credential(credential=credential)
    messages.success(request, f"Key {credential.api_key_masked} deleted.")
    return redirect("credentials:list")


def _own(request: HttpRequest, pk: str) -> LLMCredential:
    credential = LLMCredential.objects.owned_by(request.user).active().filter(pk=pk).first()
    if credential is None:
        raise Http404
    return credential
