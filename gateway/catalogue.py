"""The models that a guest's keys reach, as their providers list them (`agents.model_lists`).

A key that can't be asked is left out, unless there is no other.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from agents.clients import NothingSelected, Selection, select
from agents.model_lists import listed_models
from credentials.errors import CredentialError
from credentials.models import LLMCredential, ModelAlias
from credentials.vault import Unreadable
from gateway.dialects import OPENAI, Dialect
from gateway.errors import UnknownModel
from gateway.selection import COMPATIBLE, Guest, in_database, own_server
from providers import registry
from providers.errors import ProviderError
from providers.vocabulary import JSON

_ANY_MODEL = "any"  # a selection has a model, and a list of models is for none

Models = list[tuple[str, str]]
"""(provider, model) of each."""


def shown(dialect: Dialect, models: Models, wanted: str) -> JSON:
    """The list of the models in the dialect's form, or the `wanted` one of them. Raises
    UnknownModel."""
    if not wanted:
        return dialect.model_list([dialect.model_entry(*each) for each in models])
    bare = wanted.removeprefix("models/")
    for provider, name in models:
        if bare in (name, f"{provider}/{name}"):
            return dialect.model_entry(provider, name)
    raise UnknownModel(model=bare)


async def reachable(guest: Guest, dialect: Dialect) -> Models:
    """The guest's aliases, then the models by provider and name: at OpenAI's address of all
    providers, at the others' of their own. Raises ProviderError if no key could be asked, what
    selection of a pinned credential raises, and NotAdmitted."""
    aliases, selections = await in_database(_to_show, guest, dialect)
    asked = (listed_models(guest.caller, selection, in_database) for selection in selections)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in failures:
        if len(failures) == len(answers) or not isinstance(failure, ProviderError | Unreadable):
            raise failure
    return aliases + [
        (selection.provider, name)
        for selection, names in zip(selections, answers, strict=True)
        if not isinstance(names, BaseException)
        for name in names
    ]


def _to_show(guest: Guest, dialect: Dialect) -> tuple[Models, list[Selection]]:
    """What of it the database knows, and the keys to ask for the rest."""
    return _aliases(guest, dialect), _selections(guest, dialect)


def _aliases(guest: Guest, dialect: Dialect) -> Models:
    """Those that a call of the guest's could go by."""
    own = ModelAlias.objects.owned_by(guest.user)
    if dialect is not OPENAI:
        own = own.filter(provider__in=dialect.providers)
    pinned = LLMCredential.objects.filter(pk=guest.pinned_id).first() if guest.pinned_id else None
    return [(alias.provider, alias.name) for alias in own if pinned is None or alias.fits(pinned)]


def _selections(guest: Guest, dialect: Dialect) -> list[Selection]:
    """The keys that calls would be made on, of one provider each."""
    if guest.pinned_id is not None:
        pinned = select(user=guest.user, pinned_id=guest.pinned_id, model=_ANY_MODEL)
        return [pinned] if dialect is OPENAI or pinned.provider in dialect.providers else []
    names = registry.names() if dialect is OPENAI else dialect.providers
    found: list[Selection] = []
    for name in names:
        with suppress(NothingSelected, CredentialError):
            selection = (
                own_server(guest, _ANY_MODEL)
                if name == COMPATIBLE
                else select(user=guest.user, provider=name, model=_ANY_MODEL)
            )
            found += [selection] if selection else []
    return found
