"""One HTTP client per event loop, shared by all provider clients on it.

A client of its own would cost each call 18 ms and more, nearly all of it for TLS settings.
Sharing one between people asks for care: it keeps no cookies (one person's session would go
out with another's call), follows no redirects (keys would follow them), and takes no proxy or
password from the environment. Whose key goes out is never the client's business.

What people may have named is dialled by `providers.dial`; the providers' own hosts and the
operator's go out on `trusted`, which has connections of its own, so that none made without the
guard can serve a call that needs it.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from providers.bounds import MOST_ANSWERED, holds_too_much
from providers.dial import GuardedBackend
from providers.per_loop import PerLoop, Scope

MAX_BODY_BYTES = 32 * 2**20
# 128,000 tokens, streamed one by one with some 350 bytes around each, make 45 MB.
MAX_STREAM_BYTES = 128 * 2**20

_MAX_CONNECTIONS = 4000
_MAX_IDLE = 500
_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_IS_STREAM = "byom.stream"


class UnreadableAnswer(httpx2.DecodingError):
    """The answer is larger than allowed, or compressed although we asked for it not to be."""


def read_json(text: bytes | str) -> Any:
    """What a provider has sent. Raises UnreadableAnswer where it is too much to be read, and
    ValueError and RecursionError."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")  # as JSON may hold half a pair
    if holds_too_much(text, MOST_ANSWERED):
        raise UnreadableAnswer("the answer holds too many values")
    return json.loads(text)


class _Client(httpx2.AsyncClient):
    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Tells the transport whether the answer will be read as a stream."""
        request.extensions = {**request.extensions, _IS_STREAM: options.get("stream", False)}
        return await super().send(request, **options)


class SharedClient(_Client):
    """Goes through the guard, for calls to wherever a person may have named.

    `trusted` goes around it: for the operator's own choice of host only. The two share their
    event hooks.
    """

    def __init__(self) -> None:
        super().__init__(
            transport=_Transport(GuardedBackend(public=True)),
            mounts={"http://": _Transport(GuardedBackend(public=False))},
            **_options(),
        )
        self.trusted = _Client(transport=_Transport(), **_options())
        self.trusted.event_hooks.update(self.event_hooks)

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            await self.trusted.aclose()


_clients = PerLoop(SharedClient, SharedClient.aclose)


def outbound(http: httpx2.AsyncClient, *, trusted: bool) -> httpx2.AsyncClient:
    """The client for one destination: `trusted` says that no person has named it."""
    return http.trusted if trusted and isinstance(http, SharedClient) else http


def http_client() -> Scope[SharedClient]:
    """The running event loop's HTTP client, as an async context.

    A server holds one scope for as long as it lives, and all other scopes on its loop cost next
    to nothing; a call wrapped in `async_to_sync` makes a client and closes it.
    """
    return _clients.scope()


def _options() -> dict[str, Any]:
    return {
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"Accept-Encoding": "identity"},
        "follow_redirects": False,
        "trust_env": False,
    }


@cache
def ssl_context() -> ssl.SSLContext:
    """The process's TLS settings: loading the certificates takes some 15 ms, so only once.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured: which authorities to trust is the
    operator's to say.
    """
    return httpx2.create_ssl_context()


def timeouts(seconds: float) -> httpx2.Timeout:
    """`seconds` for each wait for bytes; less for making a connection, which is quick or fails."""
    return httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


class _Transport(httpx2.AsyncHTTPTransport):
    """Bounds what an answer may cost us in memory. Connects by `backend`, if one is given.

    A server that compresses unasked is refused: 64 KB of it can unpack to 67 MB.
    """

    def __init__(self, backend: httpcore2.AsyncNetworkBackend | None = None) -> None:
        """Makes the pool in place of its base class, which would not take a backend."""
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context(),
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        try:
            response.stream = _bounded(request, response)
        except UnreadableAnswer:
            await response.aclose()
            raise
        return response


def _bounded(request: httpx2.Request, response: httpx2.Response) -> _BoundedStream:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnreadableAnswer("the answer is compressed, which was not asked for", request=request)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    if request.extensions.get(_IS_STREAM) and response.is_success:  # errors are always read whole
        is_events = response.headers.get("content-type", "").startswith("text/event-stream")
        limit = MAX_STREAM_BYTES if is_events else MAX_BODY_BYTES
        return _BoundedStream(response.stream, request, limit)
    return _BoundedAnswer(response.stream, request, MAX_BODY_BYTES)


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request, limit: int) -> None:
        self._stream = stream
        self._request = request
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise UnreadableAnswer("the answer is too large", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedAnswer(_BoundedStream):
    """One that the SDKs read as JSON once all of it is here."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = []
        async for chunk in super().__aiter__():
            chunks.append(chunk)
            yield chunk
        if holds_too_much(b"".join(chunks), MOST_ANSWERED):
            raise UnreadableAnswer("the answer holds too many values", request=self._request)
