"""The forms for one's own keys. What the services refuse comes back to the field it belongs to;
a key is never rendered back, not even after a mistake."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils import timezone

from credentials import services
from credentials.errors import ExpiryPassed
from credentials.limits import limit
from credentials.models import LLMCredential
from credentials.refusals import REFUSALS, refuse
from credentials.validation import Validation
from providers import registry
from providers.params import InvalidParams, check_params

MOMENT = "%Y-%m-%dT%H:%M"  # what <input type="datetime-local"> reads


class KeyField(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "off", "spellcheck": "false"}
        widget = forms.PasswordInput(attrs=attrs, render_value=False)
        super().__init__(**{"label": "API key", "strip": False, "widget": widget, **kwargs})


class ProviderField(forms.ChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=_providers, **kwargs)
        # Django's sentence repeats the value, and that may be a key in the wrong place.
        self.error_messages["invalid_choice"] = "Choose one of the providers in the list."


class ParamsField(forms.CharField):
    """A JSON object with call parameters, as `providers.params` knows them."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "mono"})
    example = '{"temperature": 0.2}'

    def clean(self, value: Any) -> dict[str, Any]:
        try:
            params = json.loads(super().clean(value) or "{}")
            json.dumps(params, allow_nan=False)  # what JSON can't say, the database refuses
        except (ValueError, RecursionError):
            raise forms.ValidationError(f"This is not JSON. Write {self.example}.") from None
        if not isinstance(params, dict):
            raise forms.ValidationError(f"Write an object, such as {self.example}.")
        try:
            return check_params(params)
        except InvalidParams as error:
            raise forms.ValidationError(str(error)) from None

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2) if isinstance(value, dict) and value else value or ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return self.clean(data) != (initial or {})
        except forms.ValidationError:
            return True


class ExpiryField(forms.DateTimeField):
    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MOMENT)
        super().__init__(**{"widget": widget, "required": False, **kwargs})

    def has_changed(self, initial: Any, data: Any) -> bool:
        """The input knows no seconds."""
        return super().has_changed(initial and initial.replace(second=0, microsecond=0), data)


class LaterExpiry(forms.BaseForm):
    """Refuses an expiry in the past. A key that has expired can be changed otherwise."""

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and moment <= timezone.now() and "expires_at" in self.changed_data:
            raise forms.ValidationError(str(ExpiryPassed()))
        return moment


class ServiceForm(LaterExpiry, forms.Form):
    """A form whose `write` asks a service."""

    template_name = "forms/fields.html"

    @property
    def provider_name(self) -> str:
        return str(self.data.get("provider", ""))

    def submit(self, user: Any) -> LLMCredential | None:
        """What `write` gives, or None with the reason added to the form. Counts as a change."""
        try:
            limit("changes of keys", user.pk)
            return self.write(user) if self.is_valid() else None
        except REFUSALS as error:
            refuse(self, error, self.provider_name)
            return None

    def write(self, user: Any) -> LLMCredential:
        raise NotImplementedError

    @property
    def status(self) -> int:
        """HTTP's, of the page that shows the form again."""
        if self.has_error(NON_FIELD_ERRORS, "too_many_requests"):
            return 429
        return 422 if self.errors else 200


def _providers() -> list[tuple[str, str]]:
    return [(name, registry.label(name)) for name in registry.names()]


class UnsavedKeyForm(ServiceForm):
    """What it takes to test a key."""

    provider = ProviderField()
    api_key = KeyField(
        help_text="Sealed before it is stored. Only its last four characters are ever shown."
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

    def test(self, user: Any) -> Validation:
        """Of a form that is valid. Raises as `services.validate_unsaved_key` does."""
        names = ("provider", "api_key", "model_name", "base_url")
        values = {name: self.cleaned_data[name] for name in names}
        return services.validate_unsaved_key(owner=user, **values)


class CredentialForm(UnsavedKeyForm):
    """Adds one credential."""

    field_order = ("provider", "api_key", "label")

    label = forms.CharField(
        max_length=80, required=False, help_text="To tell several keys apart, such as “work”."
    )
    expires_at = ExpiryField(
        label="Expires",
        help_text="In UTC. From then on no call uses the key. A mail reminds you 7 days and 1 day "
        "before.",
    )
    is_default = forms.BooleanField(
        label="Make this my default", required=False, help_text="Your first key always is."
    )
    validate = forms.BooleanField(
        label="Test this key before saving",
        required=False,
        initial=True,
        help_text="Asks the provider which models the key reaches. That is free.",
    )

    def write(self, user: Any) -> LLMCredential:
        values = dict(self.cleaned_data)
        values["is_default"] = values["is_default"] or None  # unticked: only if it is the first
        if values["validate"]:
            limit("tests of keys", user.pk)
        return services.add_credential(owner=user, **values)


class OwnKeyForm(ServiceForm):
    """A form about a key that is there."""

    def __init__(self, credential: LLMCredential, data: Any = None, **kwargs: Any) -> None:
        self.credential = credential
        names = ("label", "model_name", "base_url", "params", "expires_at")
        initial = {name: getattr(credential, name) for name in names}
        super().__init__(data, initial=initial, **kwargs)

    @property
    def provider_name(self) -> str:
        return self.credential.provider


class SettingsForm(OwnKeyForm):
    """Everything about a key but the key."""

    label = forms.CharField(max_length=80, required=False)
    model_name = forms.CharField(
        label="Model", max_length=128, required=False, help_text="Used when a call names none."
    )
    params = ParamsField(
        label="Parameters",
        max_length=5000,
        required=False,
        help_text="JSON, for every call that says nothing else: temperature, top_p, max_tokens, "
        "stop, seed, reasoning_effort, extra.",
    )
    expires_at = ExpiryField(label="Expires", help_text="In UTC. Empty: never.")

    def write(self, user: Any) -> LLMCredential:
        if not self.changed_data:
            return self.credential
        changes = {name: self.cleaned_data[name] for name in self.changed_data}
        return services.update_credential(credential=self.credential, **changes)


class RotateForm(OwnKeyForm):
    """Another key in the place of the one that is there."""

    api_key = KeyField(
        label="New API key",
        error_messages={"required": "Paste the new key. A new base URL needs the key again too."},
    )
    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        help_text="Empty: the provider's own. Keys are sent there and nowhere else.",
    )
    validate = forms.BooleanField(
        label="Test the new key first",
        required=False,
        initial=True,
        help_text="The old key stays in use until the new one has worked.",
    )

    def write(self, user: Any) -> LLMCredential:
        if self.cleaned_data["validate"]:
            limit("tests of keys", user.pk)
        return services.rotate_key(
            credential=self.credential,
            api_key=self.cleaned_data["api_key"],
            base_url=self.cleaned_data["base_url"] if "base_url" in self.changed_data else None,
            validate=self.cleaned_data["validate"],
        )
