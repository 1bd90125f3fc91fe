"""The gateway's own way to providers: bytes out, bytes in.

aiohttp, as it costs a quarter of what the SDKs' HTTP client does (`docs/decisions.md`). What holds
for that one (`providers.http`) holds here: one per event loop for everybody, no cookies, no
redirects, no proxies or passwords from the environment, nothing unpacked, every answer bounded;
and what a person may have named is dialled only where `providers.guard` lets it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from time import monotonic
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from providers.dial import checked_addresses
from providers.http import MAX_BODY_BYTES, MAX_STREAM_BYTES, UnreadableAnswer, ssl_context
from providers.per_loop import PerLoop, Scope

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 30.0
_STALE_SECONDS = 1.0  # a round trip tells that nobody is there any more; a provider thinks longer
_BUFFER_BYTES = 2**16  # read ahead of a client that is slow to take it
_NOT_ADDED = ("User-Agent", "Accept", "Content-Type")  # what the client has not sent is not sent


class StaleConnection(Exception):
    """A connection that had been kept was closed just as it was used again, and nothing of an
    answer came."""


class Upstream:
    """Connections to providers. Those of the guard are its own, so that none that was made without
    it can serve a call that needs it."""

    def __init__(self) -> None:
        self._trusted = Connections(aiohttp.ThreadedResolver())
        self._guarded = {
            "https": Connections(GuardedResolver(public=True)),
            "http": Connections(GuardedResolver(public=False)),
        }

    async def close(self) -> None:
        for connections in (self._trusted, *self._guarded.values()):
            await connections.kept.close()
            await connections.new.close()

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str],
        seconds: float,
        trusted: bool,
    ) -> aiohttp.ClientResponse:
        """The answer's head; read the rest with `Pieces` or `whole`, then `release` or `close` it.
        `seconds` bound each wait for bytes.

        Raises aiohttp.ClientError, TimeoutError, UnreadableAnswer and, where the guard does not
        let the connection be made, providers.dial.Refused.
        """
        address = _address(url)
        to = self._trusted if trusted else await self._behind_the_guard(address)
        timeout = _timeout(seconds)
        try:
            response = await to.kept.post(
                address, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        except StaleConnection:
            response = await to.new.post(
                address, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            response.close()
            raise UnreadableAnswer("the answer is compressed, which was not asked for")
        return response

    async def _behind_the_guard(self, address: URL) -> Connections:
        """No resolver is asked about an address, so that one is checked here."""
        host, port = address.host or "", address.port or 0
        if _is_literal(host):
            public = address.scheme == "https"
            await checked_addresses(host, port, _CONNECT_SECONDS, public=public)
        return self._guarded[address.scheme]


class Connections:
    """`kept` uses connections again; `new` makes one for each call, so that none is stale."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self.kept = _session(resolver)
        self.new = _session(resolver, is_kept=False)


class Response(aiohttp.ClientResponse):
    """Tells a connection that was stale from a provider that fails. Raises StaleConnection.

    aiohttp sends again only what is idempotent by its method, which no POST is. What is sent again
    here may at worst be answered, and paid for, twice: see `docs/decisions.md`.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        protocol, begun = connection.protocol, monotonic()
        try:
            response = await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if protocol in _used and _is_stale(error) and monotonic() - begun < _STALE_SECONDS:
                raise StaleConnection from None
            raise
        if protocol is not None:
            _used.add(protocol)
        return response


_RESET = (errno.ECONNRESET, errno.EPIPE, None)  # None: it was closed before all was written
_used: WeakSet[ResponseHandler] = WeakSet()  # connections that have brought an answer


def _is_stale(error: aiohttp.ClientConnectionError) -> bool:
    """Whether the connection was closed with nothing of an answer's head, or reset."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it is what there was of a head
    return isinstance(error, OSError) and error.errno in _RESET


class GuardedResolver(AbstractResolver):
    """Names none but checked addresses, and those are what is dialled."""

    def __init__(self, *, public: bool) -> None:
        self._public = public

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await checked_addresses(host, port, _CONNECT_SECONDS, public=self._public)
        if not found:
            raise OSError(None, "the name is not known")
        return [_resolved(host, port, address) for address in found]

    async def close(self) -> None:
        """Holds nothing."""


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=flags
    )


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """All of an answer. Raises as `Upstream.post` does."""
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise UnreadableAnswer("the answer is too large")
    return bytes(body)


class Pieces:
    """An answer as it comes; no more is read ahead than a buffer holds."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._read, self._left = response.content.readany, MAX_STREAM_BYTES

    async def read(self) -> bytes:
        """What has come since the last time, or comes next; empty at the end. Raises as
        `Upstream.post` does."""
        piece = await self._read()
        self._left -= len(piece)
        if self._left < 0:
            raise UnreadableAnswer("the answer is too large")
        return piece


def upstream() -> Scope[Upstream]:
    """The running event loop's, as an async context: see `providers.http.http_client`."""
    return _upstreams.scope()


def held_upstream(loop: asyncio.AbstractEventLoop) -> Upstream | None:
    """That loop's, where a server holds it for all of its requests, else None."""
    return _upstreams.held(loop)


_upstreams = PerLoop(Upstream, Upstream.close)


def _session(resolver: AbstractResolver, *, is_kept: bool = True) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        ssl=ssl_context(),
        limit=0,
        force_close=not is_kept,
        keepalive_timeout=_IDLE_SECONDS if is_kept else None,
    )
    return aiohttp.ClientSession(
        connector=connector,
        response_class=Response,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        skip_auto_headers=_NOT_ADDED,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER_BYTES,
    )


@lru_cache(1024)
def _address(url: str) -> URL:
    """As it is written: no percent sign is read or added."""
    return URL(url, encoded=True)


@lru_cache(64)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, sock_connect=min(seconds, _CONNECT_SECONDS), sock_read=seconds
    )


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
