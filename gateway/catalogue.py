"""The models that a guest's keys reach, as their providers list them.

Each key that a call could be made on is asked once a minute at most; the answers are kept in this
process. A key that can't be asked is left out, unless there is no other.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial

from agents.clients import NothingSelected, Selection, select
from credentials.errors import CredentialError
from credentials.vault import Unreadable
from gateway.dialects import OPENAI, Dialect
from gateway.selection import COMPATIBLE, Guest, in_database, own_server
from providers import registry
from providers.errors import CallTimeout, ProviderError
from providers.http import http_client
from providers.vocabulary import Usage
from usage.admission import admit
from usage.ledger import OpenCall
from usage.models import Status, UsageSource

KEPT_SECONDS = 60.0
TIME_LIMIT = 10.0  # seconds
_MOST_KEPT = 1000
_ANY_MODEL = "any"  # a selection has a model, and a list of models is for none

Key = tuple[str, uuid.UUID | None, str]
_kept: dict[Key, tuple[float, tuple[str, ...]]] = {}


async def reachable(guest: Guest, dialect: Dialect) -> list[tuple[str, str]]:
    """(provider, model) of each, by provider and name: at OpenAI's address of all providers, at
    the others' of their own. Raises ProviderError if no key could be asked, what selection of a
    pinned credential raises, and NotAdmitted."""
    selections = await in_database(_selections, guest, dialect)
    asked = (_models(guest, selection) for selection in selections)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in failures:
        if len(failures) == len(answers) or not isinstance(failure, ProviderError | Unreadable):
            raise failure
    return [
        (selection.provider, name)
        for selection, names in zip(selections, answers, strict=True)
        if not isinstance(names, BaseException)
        for name in names
    ]


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


async def _models(guest: Guest, selection: Selection) -> tuple[str, ...]:
    key = _key(selection)
    until, names = _kept.get(key, (0.0, ()))
    if until < time.monotonic():
        names = await _ask(guest, selection)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = time.monotonic() + KEPT_SECONDS, names
    return names


def _key(selection: Selection) -> Key:
    """What decides on the answer: a new key or address of a credential is asked anew."""
    credential = selection.credential
    if credential is None:
        return selection.provider, None, selection.base_url or ""
    return selection.provider, credential.pk, f"{credential.fingerprint} {selection.base_url}"


async def _ask(guest: Guest, selection: Selection) -> tuple[str, ...]:
    """One call to the provider, in the books like any other, and free of charge."""
    call = OpenCall(guest.caller, replace(selection.payer, model=""))
    await in_database(admit, call, None)
    call.begin()
    try:
        async with http_client() as http, asyncio.timeout(TIME_LIMIT):
            names = tuple(await selection.client(http).models())
    except ProviderError as error:
        await _settle(call, error)
        raise
    except TimeoutError:
        failure = CallTimeout(registry.label(selection.provider))
        await _settle(call, failure)
        raise failure from None
    except asyncio.CancelledError:
        await _settle(call, status=Status.CANCELLED)
        raise
    await _settle(call)
    return names


async def _settle(
    call: OpenCall, error: ProviderError | None = None, *, status: Status = Status.OK
) -> None:
    call.stop()
    settle = partial(
        call.settle,
        status=Status.ERROR if error else status,
        usage=Usage(),
        usage_source=UsageSource.REPORTED,
        error_code=error.code if error else "",
        reason=str(error) if error else "",
        is_free=True,
    )
    await asyncio.shield(in_database(settle))
