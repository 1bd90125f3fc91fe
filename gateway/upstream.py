"""The gateway's own way to providers: bytes out, bytes in.

A client of our own over llhttp (`gateway.connection`), as the best of the others costs six times as
much (`docs/decisions.md`). What holds for the SDKs' client (`providers.http`) holds here: one per
event loop for everybody, no cookies, no redirects, no proxies or passwords from the environment,
nothing unpacked, every answer bounded; and what a person may have named is dialled only where
`providers.guard` lets it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from ipaddress import ip_address
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.arrival import Answer, ConnectionTrouble, HungUp
from gateway.connection import Connection
from gateway.deadlines import Deadline, clock_of
from gateway.kept import Kept, Place
from providers.dial import MAX_ADDRESSES, checked_addresses
from providers.http import MAX_BODY_BYTES, UnreadableAnswer, ssl_context
from providers.per_loop import PerLoop, Scope

_CONNECT_SECONDS = 10.0
_NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305
_NAME_SECONDS = 10.0  # that a provider's own name is remembered
_STALE_SECONDS = 1.0  # a round trip tells that nobody is there any more; a provider thinks longer
_PORTS = {"http": 80, "https": 443}
_CONTROLS = bytes([*range(9), *range(10, 32), 127])


class NotConnected(ConnectionTrouble):
    """no connection could be made"""


class NotSecure(NotConnected):
    """no secure connection could be made"""


class Upstream:
    """Connections to providers: of one event loop, which has to run when this is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock_of(self._loop)
        self._kept = Kept(self._loop)
        self._names: dict[Place, tuple[float, asyncio.Future[Any]]] = {}

    async def close(self) -> None:
        self._kept.close()
        for _, looking in self._names.values():
            looking.cancel()

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        trusted: bool,
    ) -> Answer:
        """The answer's head; `read` the rest or have it `whole`, then `close` it. `seconds`
        bound each wait for bytes.

        Raises ConnectionTrouble, TimeoutError, UnreadableAnswer and, where the guard does not let
        the connection be made, providers.dial.Refused; ValueError for what is no header.
        """
        place, start = _addressed(url, not trusted)
        if place.is_guarded and _is_literal(place.host):
            await _checked(place)  # the list of places may have changed since it was dialled
        head = _head(start, headers, len(body))
        answer = await self._ask(place, head, body, seconds)
        encoding = answer.headers.get(b"content-encoding", b"identity")
        if encoding.lower() != b"identity":
            answer.close()
            raise UnreadableAnswer("the answer is compressed, which was not asked for")
        return answer

    async def _ask(self, place: Place, head: bytes, body: bytes, seconds: float) -> Answer:
        """On a connection that was kept, if there is one.

        Should that have been closed just then, the call goes out once more. No HTTP client does so
        by itself with what is no idempotent method. What is sent again here may at worst be
        answered, and paid for, twice: see `docs/decisions.md`.
        """
        if kept := self._kept.take(place):
            sent = monotonic()
            try:
                return await kept.ask(head, body, seconds)
            except HungUp as error:
                if not error.unanswered or monotonic() - sent >= _STALE_SECONDS:
                    raise
        connection = await self._connect(place, min(seconds, _CONNECT_SECONDS))
        return await connection.ask(head, body, seconds)

    async def _connect(self, place: Place, seconds: float) -> Connection:
        try:
            with Deadline(seconds):
                return await self._dial(place)
        except ssl.SSLError:
            raise NotSecure from None
        except TimeoutError:
            raise
        except (OSError, UnicodeError):  # the second of names that can be none
            raise NotConnected from None

    async def _dial(self, place: Place) -> Connection:
        found = await (_guarded(place) if place.is_guarded else self._looked_up(place))
        dialled = await start_connection(
            found, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1, loop=self._loop
        )
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        is_secure = place.scheme == "https"
        give_back = partial(self._kept.put, place)
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._loop, self._clock, give_back),
            sock=dialled,
            ssl=ssl_context() if is_secure else None,
            server_hostname=place.host if is_secure else None,
        )
        return connection

    async def _looked_up(self, place: Place) -> Sequence[Any]:
        """The addresses of a provider's own name; one lookup for all who ask at the same time."""
        until, looking = self._names.get(place, (0.0, None))
        if looking is None or until < monotonic():
            looking = asyncio.ensure_future(_addresses(self._loop, place))
            looking.add_done_callback(_look_at)
            self._names[place] = monotonic() + _NAME_SECONDS, looking
        try:
            return cast(Sequence[Any], await asyncio.shield(looking))
        except (OSError, UnicodeError):
            self._names.pop(place, None)
            raise


async def _addresses(loop: asyncio.AbstractEventLoop, place: Place) -> Sequence[Any]:
    return await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)


def _look_at(done: asyncio.Future[Any]) -> None:
    """Else Python complains of it, where all who asked are gone."""
    if not done.cancelled():
        done.exception()


async def _guarded(place: Place) -> Sequence[Any]:
    """Checked addresses and no others. Raises Refused, and OSError for a name that is not known."""
    found = await _checked(place)
    if not found:
        raise OSError(None, "the name is not known")
    return [_resolved(address, place.port) for address in found[:MAX_ADDRESSES]]


async def _checked(place: Place) -> Sequence[str]:
    public = place.scheme == "https"
    return await checked_addresses(place.host, place.port, _CONNECT_SECONDS, public=public)


def _resolved(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


@lru_cache(1024)
def _addressed(url: str, is_guarded: bool) -> tuple[Place, str]:
    """Where a call goes, and how its head begins. The path goes out as it is written: no percent
    sign is read or added."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        named = f"{named}:{port}"
    start = f"POST {target} HTTP/1.1\r\nhost: {named}\r\naccept-encoding: identity\r\n"
    if " " in target or not start.isascii():
        raise ValueError("not the address of a call")
    return Place(parts.scheme, host, port, is_guarded), start


def _head(start: str, headers: Mapping[str, str], length: int) -> bytes:
    """Raises ValueError where a name or a value is none: a line break would begin a header, or a
    request, of its own."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = f"{start}{''.join(lines)}content-length: {length}\r\n\r\n".encode("ascii")
    if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines) + 10:
        raise ValueError("a header holds what none may hold")
    return head


async def whole(answer: Answer) -> bytes:
    """All of an answer. Raises as `Upstream.post` does."""
    body = await answer.read()
    if answer.has_ended and len(body) <= MAX_BODY_BYTES:
        return body
    pieces = bytearray(body)
    while piece := await answer.read():
        pieces += piece
        if len(pieces) > MAX_BODY_BYTES:
            raise UnreadableAnswer("the answer is too large")
    return bytes(pieces)


def upstream() -> Scope[Upstream]:
    """The running event loop's, as an async context: see `providers.http.http_client`."""
    return _upstreams.scope()


def held_upstream(loop: asyncio.AbstractEventLoop) -> Upstream | None:
    """That loop's, where a server holds it for all of its requests, else None."""
    return _upstreams.held(loop)


_upstreams = PerLoop(Upstream, Upstream.close)


@lru_cache(1024)
def _is_literal(host: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(host))
    return False
