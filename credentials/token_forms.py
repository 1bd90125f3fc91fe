"""The form to make an access token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from credentials import tokens
from credentials.errors import CredentialError
from credentials.models import AccessToken, LLMCredential, Scope

LIFETIMES = [
    ("7", "7 days"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
    ("0", "never"),
]
CACHES = [
    (0, "always ask the model"),
    (300, "for 5 minutes"),
    (3600, "for an hour"),
    (86400, "for a day"),
]


class TokenForm(forms.Form):
    """Few scopes are ticked at first: what a program does not need can't be stolen from it."""

    template_name = "forms/fields.html"

    name = forms.CharField(max_length=80, help_text="What it is for, such as “nightly report”.")
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=Scope.choices,
        initial=[Scope.AGENTS.value, Scope.GATEWAY.value],
        widget=forms.CheckboxSelectMultiple,
    )
    credential = forms.ModelChoiceField(
        label="Pay with",
        queryset=LLMCredential.objects.none(),
        required=False,
        empty_label="The usual order: my default, then the system’s",
        help_text="Its calls use this key, unless a session names another one.",
    )
    cache_seconds = forms.ChoiceField(
        label="Same request, same answer",
        choices=CACHES,
        required=False,
        help_text="The gateway keeps whole answers, sealed, and gives them again free of charge.",
    )
    lifetime = forms.ChoiceField(label="It expires", choices=LIFETIMES, initial="90")

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        usable = LLMCredential.objects.owned_by(owner).usable()
        self.fields["credential"].queryset = usable  # type: ignore[attr-defined]

    def save(self) -> tuple[AccessToken, str] | None:
        """The row and the token, or None with the reason added to the form."""
        credential = self.cleaned_data["credential"]
        try:
            return tokens.create_token(
                user=self.owner,
                name=self.cleaned_data["name"],
                scopes=self.cleaned_data["scopes"],
                credential_id=credential and credential.pk,
                cache_seconds=int(self.cleaned_data["cache_seconds"] or 0),
                expires_at=_end(self.cleaned_data["lifetime"]),
            )
        except CredentialError as error:  # the credential has just ended
            self.add_error("credential", str(error))
            return None


def _end(days: str) -> datetime | None:
    return timezone.now() + timedelta(days=int(days)) if int(days) else None
