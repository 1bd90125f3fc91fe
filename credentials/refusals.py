"""What the services refuse, as people read it on pages and in the admin: what went wrong, why,
what to do, and where to read more."""

from __future__ import annotations

from typing import Any

from django.forms import BaseForm, ValidationError
from django.utils.html import format_html

from credentials.errors import (
    AlreadyExists,
    BaseURLsClosed,
    CannotTest,
    CredentialError,
    KeyNeeded,
    NewKeyFailed,
    SimulatorOff,
)
from credentials.vault import Unreadable
from providers import registry
from providers.errors import BaseURLRefused, KeyRefused
from providers.registry import UnknownProvider

# Everything that a service may raise for a person to read. All else is a bug.
REFUSALS = (CredentialError, KeyRefused, BaseURLRefused, UnknownProvider, Unreadable)

FIELDS: dict[type[Exception], str] = {
    UnknownProvider: "provider",
    KeyRefused: "api_key",
    NewKeyFailed: "api_key",
    CannotTest: "api_key",
    SimulatorOff: "api_key",
    BaseURLRefused: "base_url",
    BaseURLsClosed: "base_url",
    KeyNeeded: "api_key",
    AlreadyExists: "label",
}
ABOUT_THE_KEY = (KeyRefused, NewKeyFailed)


def in_words(error: Exception, provider: str) -> str:
    """The error's sentence, with a link to the provider's page of keys where that helps."""
    return with_source(str(error), provider) if isinstance(error, ABOUT_THE_KEY) else str(error)


def with_source(sentence: str, provider: str) -> str:
    """The sentence and, where the provider has one, a link to its page of keys."""
    url = key_help_url(provider)
    if not url:
        return sentence
    link = '{} <a href="{}" target="_blank" rel="noopener noreferrer">Your keys at {}</a>'
    return format_html(link, sentence, url, registry.label(provider))


def key_help_url(provider: str) -> str:
    """Empty for a provider that has none, or has been removed from the registry."""
    try:
        return registry.get(provider).key_help_url
    except UnknownProvider:
        return ""


def refuse(form: BaseForm, error: Any, provider: str) -> None:
    """Adds the error to the field that it belongs to; to the form where there is none."""
    field = FIELDS.get(type(error))
    sentence = in_words(error, provider)
    if isinstance(error, CannotTest) and "validate" in form.fields:
        sentence += " Try again, or save it untested: untick the test."
    code = getattr(error, "code", None)
    form.add_error(field if field in form.fields else None, ValidationError(sentence, code=code))
