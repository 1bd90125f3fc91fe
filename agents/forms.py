"""Forms of the chat pages."""

from __future__ import annotations

from typing import Any

from django import forms

from agents.clients import SelectionError
from agents.errors import SessionError
from agents.models import AgentSession, Policy, SessionQuerySet, SessionStatus
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
        """The session, or None with the reason added to the form."""
        try:
            return self.write()
        except REFUSALS as error:
            self.add_error(None, str(error))
            return None

    def write(self) -> AgentSession:
        values = {name: self.cleaned_data[name] for name in ("instructions", "tools")}
        return create_session(owner=self.owner, **values, **self.chosen())


class ChangeSessionForm(SessionForm):
    """Changes a session that goes on: only what was changed, so that a title can be given also
    where the key can't be used now."""

    title = forms.CharField(max_length=120, required=False)
    field_order = ("title",)

    def __init__(self, *args: Any, session: AgentSession, **kwargs: Any) -> None:
        now = {
            "title": session.title, "offer": _offer_of(session), "model": session.model,
            "instructions": session.instructions, "tools": session.tools,
        }  # fmt: skip
        super().__init__(*args, owner=session.owner, **{"initial": now, **kwargs})
        self.session = session

    def write(self) -> AgentSession:
        names = {"title", "instructions", "tools"} & set(self.changed_data)
        changes = {name: self.cleaned_data[name] for name in names}
        return change_session(session=self.session, changes={**changes, **self.switch()})

    def switch(self) -> dict[str, Any]:
        """The changes for another key or model. A key that is not on offer now can't be posted:
        no radio button stands for the session's own, which then stays."""
        has_moved = "offer" in self.data and "offer" in self.changed_data
        if has_moved:
            return {"policy": "", **self.chosen()}
        if "model" not in self.changed_data:
            return {}
        stays = {"credential_id": self.session.credential_id, "provider": self.session.provider}
        return {**stays, "model": self.cleaned_data["model"]}


def _offer_of(session: AgentSession) -> str:
    """The picker's value for what the session names now; empty for the usual order."""
    if session.credential_id:
        return f"key:{session.credential_id}"
    only_system = session.policy == Policy.SYSTEM_ONLY and session.provider
    return f"system:{session.provider}" if only_system else ""


class MessageForm(forms.Form):
    content = forms.CharField(
        max_length=MAX_TEXT,
        label="Message",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Ask something…"}),
    )
