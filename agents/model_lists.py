"""The models that a key reaches, as its provider lists them. Each key is asked once a minute at
most; answers are kept in this process."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agents.clients import Selection
from agents.database import in_database
from credentials.vault import Unreadable
from providers import registry
from providers.errors import CallTimeout, ProviderError
from providers.http import http_client
from providers.vocabulary import Usage
from usage.accounts import Account, Caller
from usage.admission import InDatabase, let_in
from usage.ledger import OpenCall
from usage.models import Status, UsageRecord, UsageSource

KEPT_SECONDS = 60.0
TIME_LIMIT = 10.0  # seconds
MOST_KEPT = 1000

Key = tuple[str, uuid.UUID | None, str]
_kept: dict[Key, tuple[float, tuple[str, ...]]] = {}


async def listed_models(
    caller: Caller, selection: Selection, in_database: InDatabase = in_database
) -> tuple[str, ...]:
    """One call to the provider, in the books like any other, and free of charge. `in_database` is
    what takes work to the database where the caller is. Raises ProviderError, NotAdmitted and
    vault.Unreadable."""
    key = _key(selection)
    until, names = _kept.get(key, (0.0, ()))
    if until < time.monotonic():
        names = await _ask(caller, selection, in_database)
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[key] = time.monotonic() + KEPT_SECONDS, names
    return names


def _key(selection: Selection) -> Key:
    """What decides on the answer: a new key or address of a credential is asked anew."""
    credential = selection.credential
    fingerprint = credential.fingerprint if credential else ""
    pk = credential.pk if credential else None
    return selection.provider, pk, f"{fingerprint} {selection.base_url}"


async def _ask(caller: Caller, selection: Selection, in_database: InDatabase) -> tuple[str, ...]:
    await registry.prepare(selection.provider)
    call = OpenCall(Account(caller, replace(selection.payer, model="")))
    call.operation = "list_models"
    await let_in(in_database, call, None)
    call.begin()
    error: ProviderError | Unreadable | None = None
    status = Status.ERROR
    try:
        async with http_client() as http, asyncio.timeout(TIME_LIMIT):
            names = tuple(await selection.client(http).models())
        status = Status.OK
    except (ProviderError, Unreadable) as failure:
        error = failure
    except TimeoutError:
        error = CallTimeout(registry.label(selection.provider))
    except asyncio.CancelledError:
        status = Status.CANCELLED
        raise
    finally:
        call.stop()
        await asyncio.shield(in_database(_settlement(call, status, error)))
    if error:
        raise error
    return names


def _settlement(
    call: OpenCall, status: Status, error: ProviderError | Unreadable | None
) -> Callable[[], UsageRecord]:
    return partial(
        call.settle,
        status=status,
        usage=Usage(),
        usage_source=UsageSource.REPORTED,
        error_code=error.code if error else "",
        reason=str(error) if error else "",
        request_id=getattr(error, "request_id", ""),
        is_free=True,
    )
