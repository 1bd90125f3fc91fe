"""Forms of the chat pages."""

from __future__ import annotations

from typing import Any

from django import forms

from agents.clients import SelectionError
from agents.errors import SessionError
from agents.models import AgentSession, SessionQuerySet, SessionStatus
from agents.offers import offers
from agents.serializers import MAX_TEXT
from agents.services import create_session
from agents.toolbox import known_tools
from credentials.errors import CredentialError
from providers.registry import UnknownProvider

AUTOMATIC = "Automatic: my default key, else the system’s"


class SearchForm(forms.Form):
    """Finds sessions by what was said in them and by how they stand."""

    q = forms.CharField(max_length=200, required=False, label="Search")
    status = forms.ChoiceField(
        required=False, choices=[("", "Any status"), *SessionStatus.choices], label="Status"
    )

    def narrow(self, sessions: SessionQuerySet) -> SessionQuerySet:
        if text := self.cleaned_data["q"]:
            sessions = sessions.search(text)
        if status := self.cleaned_data["status"]:
            sessions = sessions.filter(status=status)
        return sessions


class SessionForm(forms.Form):
    """Starts a session."""

    template_name = "forms/fields.html"

    offer = forms.ChoiceField(label="Key and model", required=False)
    model = forms.CharField(
        max_length=128,
        required=False,
        label="Another model",
        help_text="Its name as the provider writes it. Empty: the one named above.",
    )
    instructions = forms.CharField(
        max_length=MAX_TEXT,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the model should keep in mind all the time.",
    )

    tools = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What the model may use by itself. Each use is shown.",
    )

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        self.fields["tools"].choices = known_tools(owner)  # type: ignore[attr-defined]
        self.offers = offers(owner)
        choices = [("", AUTOMATIC), *((offer.value, offer.key) for offer in self.offers)]
        self.fields["offer"].choices = choices  # type: ignore[attr-defined]

    def save(self) -> AgentSession | None:
        """The new session, or None with the reason added to the form."""
        values = dict(self.cleaned_data)
        chosen = values.pop("offer")
        choice = next((each.choice() for each in self.offers if each.value == chosen), {})
        try:
            return create_session(owner=self.owner, **values, **choice)
        except (SelectionError, CredentialError, UnknownProvider, SessionError) as error:
            self.add_error(None, str(error))
            return None


class MessageForm(forms.Form):
    content = forms.CharField(
        max_length=MAX_TEXT,
        label="Message",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Ask something…"}),
    )
