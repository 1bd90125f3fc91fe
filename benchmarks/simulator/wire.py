"""One HTTP exchange over ASGI: reading the body, writing, noticing that the client went away."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 32 * 1024 * 1024
PATIENCE = 4 * LARGEST_BODY


class TooLarge(Exception):
    """The request body is above 32 MB."""


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class Exchange:
    """A request and its response. `started` is when the whole request body had arrived."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.method: str = scope["method"]
        self.headers = {
            k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]
        }
        self.query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = time.monotonic()
        self.status: int | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def body(self) -> bytes:
        """The request body. Raises TooLarge (having read it, so that the client hears us)."""
        chunks: list[bytes] = []
        size = 0
        more = True
        while more and size <= PATIENCE:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.leave()
                raise ClientGone
            size += len(message.get("body", b""))
            if size <= LARGEST_BODY:
                chunks.append(message.get("body", b""))
            more = message.get("more_body", False)
        self.started = time.monotonic()
        await asyncio.sleep(0)  # requests that came together take their time before any is planned
        if size > LARGEST_BODY:
            raise TooLarge
        return b"".join(chunks)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """While inside, `gone` is set as soon as the client leaves."""
        self._watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def leave(self) -> None:
        """Marks the client as gone: whoever paces this exchange stops at once."""
        if not self.gone.done():
            self.gone.set_result(None)

    async def start(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        raw = [(k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, more: bool = True) -> None:
        if self.gone.done():
            raise ClientGone
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def drop(self) -> None:
        """Breaks the connection in mid-transfer, so that the client sees an incomplete body.

        ASGI has no message for it. Returning early would do, but uvicorn logs that as an error;
        so where `send` belongs to a uvicorn cycle we close its transport, which is silent.
        """
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.close()
            await asyncio.wait([self.gone], timeout=1)
