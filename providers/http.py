"""One HTTP client per event loop, shared by all provider clients on it.

A client of its own would cost each call 18 ms and more, nearly all of it for TLS settings.
Sharing one between people asks for care: it keeps no cookies (one person's session would go
out with another's call), follows no redirects (keys would follow them), and takes no proxy or
password from the environment. Whose key goes out is never the client's business.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from weakref import WeakKeyDictionary

import httpx2

MAX_BODY_BYTES = 32 * 2**20
# 128,000 tokens, streamed one by one with some 350 bytes around each, make 45 MB.
MAX_STREAM_BYTES = 128 * 2**20

_LIMITS = httpx2.Limits(max_connections=4000, max_keepalive_connections=500, keepalive_expiry=30.0)
_CONNECT_SECONDS = 10.0


class UnreadableAnswer(httpx2.DecodingError):
    """The answer is larger than allowed, or compressed although we asked for it not to be."""


@dataclass(slots=True)
class _Shared:
    client: httpx2.AsyncClient
    scopes: int = 0


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()
_lock = threading.Lock()  # loops live in threads of their own, the dictionary is one


@asynccontextmanager
async def http_client() -> AsyncGenerator[httpx2.AsyncClient, None]:
    """The running event loop's HTTP client.

    The first scope on a loop makes it and the last one to leave closes it. A server holds one
    scope for as long as it lives, and all other scopes on its loop cost next to nothing; a
    call wrapped in `async_to_sync` makes a client and closes it. Safe in any number of
    threads with loops of their own.
    """
    loop = asyncio.get_running_loop()
    shared = _enter(loop)
    try:
        yield shared.client
    finally:
        if _leave(loop, shared):
            await shared.client.aclose()


def _enter(loop: asyncio.AbstractEventLoop) -> _Shared:
    with _lock:
        shared = _shared.get(loop)
        if shared is None:
            shared = _shared[loop] = _Shared(_new_client())
        shared.scopes += 1
        return shared


def _leave(loop: asyncio.AbstractEventLoop, shared: _Shared) -> bool:
    with _lock:
        shared.scopes -= 1
        if shared.scopes == 0:
            del _shared[loop]
        return shared.scopes == 0


def _new_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=_Transport(verify=ssl_context(), trust_env=False, limits=_LIMITS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"Accept-Encoding": "identity"},
        follow_redirects=False,
        trust_env=False,
    )


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
    """Bounds what an answer may cost us in memory.

    A server that compresses unasked is refused: 64 KB of it can unpack to 67 MB.
    """

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
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    limit = MAX_STREAM_BYTES if is_stream else MAX_BODY_BYTES
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    return _BoundedStream(response.stream, request, limit)


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
