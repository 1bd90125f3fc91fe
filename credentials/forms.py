"""The form to add a key. What the services refuse comes back to the field it belongs to."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from credentials import services
from credentials.errors import AlreadyExists, BaseURLsClosed
from credentials.models import LLMCredential
from providers import registry
from providers.errors import BaseURLRefused, KeyRefused


class CredentialForm(forms.Form):
    """Adds one credential. The key is never rendered back, not even after a mistake."""

    template_name = "forms/fields.html"
    field_of_error: ClassVar = {
        KeyRefused: "api_key",
        BaseURLRefused: "base_url",
        BaseURLsClosed: "base_url",
        AlreadyExists: "label",
    }

    provider = forms.ChoiceField()
    api_key = forms.CharField(
        label="API key",
        strip=False,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "off", "spellcheck": "false"}, render_value=False
        ),
        help_text="Sealed before it is stored. Only its last four characters are ever shown.",
    )
    label = forms.CharField(
        max_length=80, required=False, help_text="To tell several keys apart, such as “work”."
    )
    model_name = forms.CharField(
        label="Model",
        max_length=128,
        required=False,
        help_text="Used when a call names none. Empty: the provider's usual one.",
    )
    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        help_text="Only for an OpenAI-compatible server, such as http://localhost:11434/v1.",
    )
    is_default = forms.BooleanField(
        label="Make this my default", required=False, help_text="Your first key always is."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(name, registry.label(name)) for name in registry.names()]
        self.fields["provider"].choices = choices  # type: ignore[attr-defined]

    def save(self, owner: Any) -> LLMCredential | None:
        """The new credential, or None with the reason added to the form."""
        values = dict(self.cleaned_data)
        values["is_default"] = values["is_default"] or None  # unticked: only if it is the first
        try:
            return services.add_credential(owner=owner, **values)
        except (KeyRefused, BaseURLRefused, BaseURLsClosed, AlreadyExists) as error:
            self.add_error(self.field_of_error[type(error)], str(error))
            return None
