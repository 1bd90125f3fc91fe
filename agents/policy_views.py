"""The page on which people say whose keys may pay."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from agents.models import Policy, SelectionPolicy
from agents.policy import payers


class PolicyForm(forms.Form):
    template_name = "forms/fields.html"

    policy = forms.ChoiceField(
        label="Whose keys may pay for my calls",
        required=False,
        help_text="The strictest wins: this choice, that of a session, and that of the server.",
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        usual = Policy(settings.FALLBACK_POLICY).label
        choices = [("", f"As this server has it: {usual.lower()}"), *Policy.choices]
        self.fields["policy"].choices = choices  # type: ignore[attr-defined]


@login_required
def policy(request: HttpRequest) -> HttpResponse:
    own = SelectionPolicy.of(request.user)
    posted = request.POST if request.method == "POST" else None
    form = PolicyForm(posted, initial={"policy": own.policy})
    if form.is_bound and form.is_valid():
        SelectionPolicy.choose(request.user, form.cleaned_data["policy"])
        messages.success(request, "Saved. It holds from the next call on.")
        return redirect("agents:policy")
    context = {
        "form": form,
        "forbidden": own.system_key_forbidden,
        "nobody": not payers(request.user),
    }
    return render(request, "agents/policy.html", context, status=422 if form.errors else 200)
