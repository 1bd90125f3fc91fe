"""Forms of the chat pages."""

from __future__ import annotations

from typing import Any

from django import forms

from agents.clients import SelectionError
from agents.errors import SessionError
from agents.models import AgentSession, SessionQuerySet, SessionStatus
from agents.offers import (
    TYPICAL,
    automatic,
    grouped,
    models_on_offer,
    offers,
    out_of_use,
)
from agents.serializers import MAX_TEXT
from agents.services import change_session, create_session
from agents.toolbox import known_tools
from credentials.errors import CredentialError
from providers.errors import ProviderError
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


class PickerForm(forms.Form):
    """Chooses whose key pays and which model answers."""

    template_name = "forms/fields.html"

    offer = forms.ChoiceField(label="Key", required=False)
    model = forms.CharField(
        max_length=128,
        required=False,
        widget=forms.TextInput(
            attrs={"list": "models", "autocomplete": "off", "spellcheck": "false"}
        ),
        help_text="Empty: the key’s usual one. Any other that the provider has can be typed in.",
    )

    def __init__(self, *args: Any, owner: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.owner = owner
        self.offers = offers(owner)
        choices = [("", AUTOMATIC), *((offer.value, offer.key) for offer in self.offers)]
        self.fields["offer"].choices = choices  # type: ignore[attr-defined]

    @property
    def picker(self) -> dict[str, Any]:
        """What agents/_picker.html shows."""
        found = models_on_offer(self.offers)
        return {
            "automatic": automatic(self.owner),
            "groups": grouped(self.offers),
            "out_of_use": out_of_use(self.owner),
            "models": found,
            "data": [each.shown() for each in found],
            "turn": TYPICAL,
        }

    def chosen(self) -> dict[str, Any]:
        """The arguments of `create_session` for what was picked."""
        value = self.cleaned_data["offer"]
        choice = next((each.choice() for each in self.offers if each.value == value), {})
        return {"model": self.cleaned_data["model"], **choice}


REFUSALS = (SelectionError, CredentialError, UnknownProvider, SessionError, ProviderError)


class SessionForm(PickerForm):
    """Starts a session."""

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
        super().__init__(*args, owner=owner, **kwargs)
        self.fields["tools"].choices = known_tools(owner)  # type: ignore[attr-defined]

    def save(self) -> AgentSession | None:
        """The new session, or None with the reason added to the form."""
        values = {name: self.cleaned_data[name] for name in ("instructions", "tools")}
        try:
            return create_session(owner=self.owner, **values, **self.chosen())
        except REFUSALS as error:
            self.add_error(None, str(error))
            return None


class SwitchForm(PickerForm):
    """Goes on with another key or model."""

    def save(self, session: AgentSession) -> AgentSession | None:
        """The changed session, or None with the reason added to the form."""
        try:
            return change_session(session=session, changes={"policy": "", **self.chosen()})
        except REFUSALS as error:
            self.add_error(None, str(error))
            return None


class MessageForm(forms.Form):
    content = forms.CharField(
        max_length=MAX_TEXT,
        label="Message",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Ask something…"}),
    )
