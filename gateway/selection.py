"""From an access token to the key that pays, and the threads for the gateway's database work.

Threads of its own, as one pool is shared by whatever else is synchronous in the process. A job's
connection is closed after it, or kept for the next one, as CONN_MAX_AGE says.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from agents.clients import ModelMismatch, NothingSelected, Selection, select
from credentials.authentication import note_use
from credentials.models import AccessToken, ModelAlias, Scope
from gateway.asked import Asked
from gateway.dialects import Dialect, dialect_of
from gateway.errors import ScopeMissing, TokenMissing, TokenRefused, WrongAddress, WrongCredential
from gateway.routes import Route
from providers import registry
from providers.keys import check_key
from providers.vocabulary import Usage
from usage.accounts import Account, Caller
from usage.admission import admit_at_once, let_in, make_room
from usage.ceiling import ceiling
from usage.group_commit import group_commit
from usage.ledger import OpenCall
from usage.memory import Memory, hashed, looks
from usage.models import Surface

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
COMPATIBLE = "openai_compatible"

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-database")


async def in_database(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `job` in a thread of the gateway's own. Once begun it runs to its end, also when who
    waits for it is cancelled; shield the call where it must begin too."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, partial(_connected, partial(job, *args, **kwargs)))


_under_way: dict[object, asyncio.Future[Any]] = {}


async def once(key: object, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `job` says, run in the database once for all who ask for `key` at the same time."""
    loop = asyncio.get_running_loop()
    running: asyncio.Future[T] | None = _under_way.get((loop, key))
    if running is None:
        running = _under_way[loop, key] = asyncio.ensure_future(in_database(job, *args, **kwargs))
        running.add_done_callback(lambda done: _over((loop, key), done))
    return await asyncio.shield(running)


def _over(key: object, done: asyncio.Future[Any]) -> None:
    del _under_way[key]
    if not done.cancelled():
        done.exception()  # has been looked at, should all who asked be gone


def _connected(job: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return job()
    finally:
        close_old_connections()


@dataclass(frozen=True, slots=True)
class Guest:
    """Whose token it is, the credential that the token is pinned to, if any, and for how long it
    takes kept answers (`gateway.answers`)."""

    user: Any
    token_id: int
    pinned_id: uuid.UUID | None
    cache_seconds: int = 0
    caller: Caller = field(init=False)

    def __post_init__(self) -> None:
        caller = Caller(
            surface=Surface.GATEWAY, user_id=self.user.pk, access_token_id=self.token_id
        )
        object.__setattr__(self, "caller", caller)


class Chosen:
    """A selection made ready for the calls of the seconds that it is remembered for: all of it is
    checked and worked out, and nothing is kept of the key, which each call opens for itself.

    Raises Unreadable, KeyRefused and BaseURLRefused.
    """

    __slots__ = (
        "_accounts", "base_url", "dialect", "is_simulated", "is_trusted", "label", "model", "payer",
        "seconds", "secret", "selection", "tells_usage",
    )  # fmt: skip

    def __init__(self, selection: Selection) -> None:
        provider = registry.get(selection.provider)
        self.selection = selection
        self.payer, self.model = selection.payer, selection.model
        self.base_url = selection.address()
        self.secret = selection.secret()
        self.label, self.dialect = provider.label, provider.dialect
        self.tells_usage = provider.wire.stream_options
        self.seconds = selection.timeout or float(settings.CALL_TIMEOUT_SECONDS)
        self.is_simulated, self.is_trusted = self.payer.is_simulated, selection.is_trusted
        self._accounts: dict[int | None, Account] = {}
        check_key(self.payer.provider, self.key())

    def key(self) -> str:
        """Raises Unreadable."""
        return self.secret.reveal("gateway").strip()

    def account(self, caller: Caller) -> Account:
        """The account of that token of the user's."""
        found = self._accounts.get(caller.access_token_id)
        if found is None:
            found = self._accounts[caller.access_token_id] = Account(caller, self.payer)
        return found

    def speaks(self, dialect: Dialect) -> bool:
        return self.dialect == dialect.provider


_guests: Memory[bytes, Guest] = Memory()
_selections: Memory[tuple[object, ...], Chosen] = Memory()
MEMORIES: list[Memory[Any, Any]] = [_guests, _selections]


def known_guest(token: str) -> Guest | None:
    """Without the database; None if that has to be asked."""
    return _guests.get(hashed(token))


async def guest_of(token: str) -> Guest:
    """Raises TokenMissing, TokenRefused and ScopeMissing."""
    known = known_guest(token)
    return await once(("guest", hashed(token)), authenticate, token) if known is None else known


def authenticate(token: str) -> Guest:
    """The token's guest, for who may ask the database. Raises as `guest_of` does."""
    looks.look()
    if known := _guests.known(hashed(token)):
        return known
    age = _guests.age
    if not token:
        raise TokenMissing
    row = AccessToken.objects.for_token(token)
    if row is None:
        raise TokenRefused
    if Scope.GATEWAY not in row.scopes:
        raise ScopeMissing
    note_use(row)
    guest = Guest(
        user=row.user,
        token_id=row.pk,
        pinned_id=row.credential_id,
        cache_seconds=row.cache_seconds,
    )
    _guests.keep(hashed(token), guest, age, _seconds_until(row.expires_at))
    return guest


def _seconds_until(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - timezone.now()).total_seconds()


async def admitted(guest: Guest, where: Route, asked: Asked) -> tuple[Chosen, OpenCall]:
    """The key for one call, and the call, which has been let in; one that has to be translated
    is let in where it is made (`agents.calls`). Raises what `choose` raises and NotAdmitted.

    A token that is in use and budgets that have room need no database.
    """
    wanted = _wanted(guest, where, asked.model)
    chosen = _selections.get(wanted)
    if chosen is None:
        chosen = await once(wanted, choose, guest, where, asked.model)
    call = OpenCall(chosen.account(guest.caller))
    call.operation = where.does.name
    if chosen.dialect == where.dialect.provider:
        most = None if where.does.is_free else ceiling(asked.parsed)
        if not admit_at_once(call, most):
            await _admit(call, most)
    return chosen, call


async def _admit(call: OpenCall, most: Usage | None) -> None:
    if most is not None:
        await once(("room", *call.parties), make_room, call, most)
        group_commit().wake()  # which gives the room back when nobody needs it
        if admit_at_once(call, most):
            return
    await let_in(in_database, call, most)


def choose(guest: Guest, where: Route, model: str) -> Chosen:
    """For who may ask the database. Raises WrongAddress and WrongCredential (only where nothing is
    translated), what `agents.clients.select` raises, Unreadable, KeyRefused and BaseURLRefused."""
    looks.look()
    wanted = _wanted(guest, where, model)
    if known := _selections.known(wanted):
        return known
    age = _selections.age
    chosen = Chosen(_selected(guest, where, model))
    credential = chosen.selection.credential
    seconds = _seconds_until(credential.expires_at) if credential else None
    _selections.keep(wanted, chosen, age, seconds)
    return chosen


def _wanted(guest: Guest, where: Route, model: str) -> tuple[object, ...]:
    """All that a selection depends on."""
    return (
        guest.caller.user_id,
        guest.pinned_id,
        where.dialect.provider,
        where.does.translates,
        model,
    )


def _selected(guest: Guest, where: Route, model: str) -> Selection:
    if alias := ModelAlias.objects.meant_by(guest.user, model):
        return _by_alias(guest, where, alias)
    if guest.pinned_id is not None:
        return _pinned(guest, guest.pinned_id, where, model)
    return _by_model(guest, where, model)


def _by_alias(guest: Guest, where: Route, alias: ModelAlias) -> Selection:
    if alias.provider not in where.dialect.providers and not where.does.translates:
        address = dialect_of(alias.provider).address
        raise WrongAddress(model=alias.name, provider=alias.provider_label, address=address)
    return select(user=guest.user, pinned_id=guest.pinned_id, model=alias.name)


def _pinned(guest: Guest, pinned_id: uuid.UUID, where: Route, model: str) -> Selection:
    selection = select(user=guest.user, pinned_id=pinned_id, model=model)
    if selection.provider not in where.dialect.providers and not where.does.translates:
        raise WrongCredential(
            provider=registry.label(selection.provider),
            address=dialect_of(selection.provider).address,
        )
    named, bare = _parted(model)
    if named == selection.provider:
        return replace(selection, payer=replace(selection.payer, model=bare))
    if named and selection.provider != COMPATIBLE:  # whose models may have such names
        theirs, ours = registry.label(named), registry.label(selection.provider)
        raise ModelMismatch(model=bare, provider=theirs, credential=ours)
    return selection


def _by_model(guest: Guest, where: Route, model: str) -> Selection:
    dialect = where.dialect
    named, bare = _parted(model)
    maker = named or registry.provider_for_model(model)
    # A server of one's own may serve models of any name: it goes first, as the default.
    may_be_own = not named and maker != dialect.provider and COMPATIBLE in dialect.providers
    if may_be_own and (selection := own_server(guest, model)):
        return selection
    if maker and maker not in dialect.providers:
        if where.does.translates:
            return select(user=guest.user, provider=maker, model=bare)
        raise WrongAddress(
            model=model, provider=registry.label(maker), address=dialect_of(maker).address
        )
    return select(user=guest.user, provider=named or dialect.provider, model=bare)


def own_server(guest: Guest, model: str) -> Selection | None:
    """The server of the guest's own, if it is their default."""
    with suppress(NothingSelected):
        selection = select(user=guest.user, provider=COMPATIBLE, model=model)
        if selection.credential and selection.credential.is_default:
            return selection
    return None


def _parted(model: str) -> tuple[str, str]:
    """Provider and model of `provider/model`; an empty provider where none is named."""
    named, _, bare = model.partition("/")
    return (named, bare) if bare and named in registry.names() else ("", model)
