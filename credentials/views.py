"""Pages for one's own keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.messages.constants import DEFAULT_LEVELS
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from credentials import services
from credentials.errors import CredentialError
from credentials.forms import CredentialForm, RotateForm, SettingsForm, UnsavedKeyForm
from credentials.limits import limit
from credentials.models import LLMCredential
from credentials.overview import Report, month_costs, report_test, what_ends
from credentials.refusals import key_help_url
from credentials.validation import Validation
from providers import registry


@login_required
def credentials_list(request: HttpRequest) -> HttpResponse:
    costs = month_costs(request.user)
    own = LLMCredential.objects.owned_by(request.user).active()
    rows = [(credential, costs.get(credential.pk)) for credential in own]
    return render(request, "credentials/list.html", {"rows": rows})


@login_required
def credential_add(request: HttpRequest) -> HttpResponse:
    form = CredentialForm(_posted(request))
    if form.is_bound and (added := form.submit(request.user)):
        tested = " Its provider accepts it." if form.cleaned_data["validate"] else ""
        messages.success(request, f"Key {added.api_key_masked} added.{tested}")
        return redirect("credentials:list")
    return _add_page(request, form, status=form.status)


@login_required
@require_POST
def unsaved_key_test(request: HttpRequest) -> HttpResponse:
    """Tests what is typed on the page to add a key, and stores nothing."""
    form = UnsavedKeyForm(request.POST)
    if not form.is_valid():
        report = Report("error", _mistakes(form), status=422)
    else:
        report = _report(request, form.provider_name, partial(form.test, request.user))
    if _wants_part(request):
        return _part(request, report)
    typed: dict[str, Any] = {k: v for k, v in request.POST.items() if k != "api_key"}
    typed["validate"] = "validate" in request.POST  # its absence would mean its usual tick
    return _add_page(request, CredentialForm(initial=typed), report=report, status=report.status)


@login_required
def credential_detail(request: HttpRequest, pk: str) -> HttpResponse:
    form = SettingsForm(_own(request, pk), _posted(request))
    if form.is_bound and form.submit(request.user):
        messages.success(request, "Saved." if form.changed_data else "There was nothing to save.")
        return redirect("credentials:detail", pk=pk)
    return _key_page(request, pk, settings_form=form)


@login_required
@require_POST
def credential_rotate(request: HttpRequest, pk: str) -> HttpResponse:
    form = RotateForm(_own(request, pk), request.POST)
    if rotated := form.submit(request.user):
        messages.success(request, f"The key {rotated.api_key_masked} is in use from now on.")
        return redirect("credentials:detail", pk=pk)
    return _key_page(request, pk, rotate_form=form)


@login_required
@require_POST
def credential_test(request: HttpRequest, pk: str) -> HttpResponse:
    """Tests a stored key: for the page's script with the parts that change, else with a message."""
    credential = _own(request, pk)
    test = partial(services.validate_credential, credential=credential)
    report = _report(request, credential.provider, test)
    if _wants_part(request):
        return _part(request, report, credential)
    messages.add_message(request, DEFAULT_LEVELS[report.level.upper()], report.sentence)
    return redirect("credentials:detail", pk=pk)


@login_required
@require_POST
def credential_default(request: HttpRequest, pk: str) -> HttpResponse:
    credential = _own(request, pk)
    try:
        limit("changes of keys", request.user.pk)
        services.set_default(credential=credential)
    except CredentialError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{credential.name} is your default now.")
    return redirect("credentials:detail", pk=pk)


@login_required
@require_POST
def credential_delete(request: HttpRequest, pk: str) -> HttpResponse:
    credential = _own(request, pk)
    try:
        limit("changes of keys", request.user.pk)
        services.delete_credential(credential=credential)
    except CredentialError as error:
        messages.error(request, str(error))
        return redirect("credentials:detail", pk=pk)
    messages.success(request, f"Key {credential.api_key_masked} deleted.")
    return redirect("credentials:list")


def _own(request: HttpRequest, pk: str) -> LLMCredential:
    own = LLMCredential.objects.owned_by(request.user).active().select_related("owner")
    credential = own.filter(pk=pk).first()
    if credential is None:
        raise Http404
    return credential


def _report(request: HttpRequest, provider: str, test: Callable[[], Validation]) -> Report:
    def within_limit() -> Validation:
        limit("tests of keys", request.user.pk)
        return test()

    return report_test(provider, within_limit)


def _posted(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _add_page(request: HttpRequest, form: CredentialForm, **context: Any) -> HttpResponse:
    rows = [registry.get(name) for name in registry.names()]
    context |= {"form": form, "providers": rows, "simulator": bool(settings.SIMULATOR_URL)}
    return render(request, "credentials/add.html", context, status=context.pop("status"))


def _key_page(
    request: HttpRequest,
    pk: str,
    *,
    settings_form: SettingsForm | None = None,
    rotate_form: RotateForm | None = None,
) -> HttpResponse:
    """The row is read anew: what a service refused is still on the instance that it was given."""
    credential = _own(request, pk)
    settings_form = settings_form or SettingsForm(credential)
    rotate_form = rotate_form or RotateForm(credential)
    context = {
        "credential": credential,
        "cost": month_costs(request.user).get(credential.pk),
        "ends": what_ends(credential),
        "key_help_url": key_help_url(credential.provider),
        "purge_after_days": settings.PURGE_AFTER_DAYS,
        "settings_form": settings_form,
        "rotate_form": rotate_form,
    }
    status = max(settings_form.status, rotate_form.status)
    return render(request, "credentials/detail.html", context, status=status)


def _wants_part(request: HttpRequest) -> bool:
    """True for static/byom/key-test.js, which puts the answer into the page that is open."""
    return request.headers.get("X-Requested-With") == "fetch"


def _part(
    request: HttpRequest, report: Report, credential: LLMCredential | None = None
) -> HttpResponse:
    context = {"report": report, "credential": credential}
    response = render(request, "credentials/_tested.html", context, status=report.status)
    if report.retry_after is not None:
        response["Retry-After"] = str(math.ceil(report.retry_after))
    return response


def _mistakes(form: UnsavedKeyForm) -> str:
    return " ".join(
        f"{form.fields[name].label or name.capitalize()}: {error}"
        for name, errors in form.errors.items()
        for error in errors
    )
