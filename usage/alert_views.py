"""The page of one's own alerts."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from usage.alert_forms import AlertPreferenceForm
from usage.alert_models import Kind
from usage.alerts import tell
from usage.models import Alert, AlertPreference

SHOWN = 50


@login_required
def alerts(request: HttpRequest) -> HttpResponse:
    preference = AlertPreference.of(request.user)
    form = AlertPreferenceForm(request.POST or None, instance=preference)
    if form.is_bound and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("usage:alerts")
    raised = Alert.objects.visible_to(request.user).prefetch_related("deliveries")[:SHOWN]
    context = {"form": form, "preference": AlertPreference.of(request.user), "alerts": raised}
    return render(request, "usage/alerts.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def send_test(request: HttpRequest) -> HttpResponse:
    key = f"test:{uuid.uuid4()}"
    title = "This is a test of your alerts"
    text = "Nothing has happened. You asked for this on the page of your alerts."
    tell(user=request.user, kind=Kind.TEST, key=key, title=title, text=text, facts={})
    messages.success(request, "A test is on its way. How it went stands below in a moment.")
    return redirect("usage:alerts")


@login_required
@require_POST
def new_secret(request: HttpRequest) -> HttpResponse:
    """The old one signs nothing from now on."""
    preference = AlertPreference.of(request.user)
    if preference._state.adding:
        preference.save()
    own = AlertPreference.objects.filter(pk=preference.pk)
    own.update(secret_number=F("secret_number") + 1)
    messages.success(request, "From now on webhooks are signed with the new secret.")
    return redirect("usage:alerts")
