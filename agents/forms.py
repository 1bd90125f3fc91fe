"""Forms of the chat pages."""

from __future__ import annotations

from typing import Any

from django import forms

from agents.clients import SelectionError
from agents.models import AgentSession
from agents.serializers import MAX_TEXT
from agents.services import create_session
from credentials.errors import CredentialError
from credentials.models import LLMCredential
from providers.registry import UnknownProvider


class SessionForm(forms.Form):
    """Starts a session."""

    template_name = "forms/fields.html"

    credential_id = forms.ChoiceField(
        label="Key", required=False, help_text="Whose key pays for this conversation."
    )
    model = forms.CharField(max_length=128, required=False, help_text="Empty: the key's own model.")
    instructions = forms.CharField(
        max_length=MAX_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the model should keep in mind all the time.",
    )

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        own = LLMCredential.objects.owned_by(owner).usable()
        choices = [("", "Automatic: my default key, else the system's")]
        choices += [(str(row.pk), f"{row.provider_label}: {row}") for row in own]
        self.fields["credential_id"].choices = choices  # type: ignore[attr-defined]

    def save(self) -> AgentSession | None:
        """The new session, or None with the reason added to the form."""
        try:
            return create_session(owner=self.owner, **self.cleaned_data)
        except (SelectionError, CredentialError, UnknownProvider) as error:
            self.add_error(None, str(error))
            return None


class MessageForm(forms.Form):
    content = forms.CharField(
        max_length=MAX_TEXT,
        label="Message",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Ask something…"}),
    )
