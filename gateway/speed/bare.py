"""`python -m gateway.speed.bare CLIENT UPSTREAM PORT`: the least that a relay on our server costs.
It knows no token, no limit and no ledger; what the gateway takes beyond this is its own.

CLIENT is `aiohttp`, the fastest of the HTTP clients that one can have ready-made, or `own`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import uvicorn

from gateway.upstream import upstream

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Head = tuple[int, list[tuple[bytes, bytes]]]
Ask = Callable[[str, bytes, dict[str, str]], AsyncGenerator[Head | bytes]]
"""Yields the head of the answer, and then what there is of its body as it comes."""


@asynccontextmanager
async def by_aiohttp() -> AsyncIterator[Ask]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def ask(
            url: str, body: bytes, headers: dict[str, str]
        ) -> AsyncGenerator[Head | bytes]:
            async with session.post(url, data=body, headers=headers) as response:
                yield (
                    response.status,
                    [
                        (name.encode(), response.headers[name].encode())
                        for name in ("content-type", "content-length")
                        if name in response.headers
                    ],
                )
                while chunk := await response.content.readany():
                    yield chunk

        yield ask


@asynccontextmanager
async def by_our_own() -> AsyncIterator[Ask]:
    async with upstream() as client:

        async def ask(
            url: str, body: bytes, headers: dict[str, str]
        ) -> AsyncGenerator[Head | bytes]:
            response = await client.post(url, body=body, headers=headers, seconds=60, trusted=True)
            try:
                yield (
                    response.status,
                    [
                        (name, response.headers[name])
                        for name in (b"content-type", b"content-length")
                        if name in response.headers
                    ],
                )
                while chunk := await response.read():
                    yield chunk
            finally:
                response.close()

        yield ask


CLIENTS: dict[str, Callable[[], AbstractAsyncContextManager[Ask]]] = {
    "aiohttp": by_aiohttp,
    "own": by_our_own,
}


class BareRelay:
    """Any path of ours is the same path of the upstream's."""

    def __init__(self, client: str, address: str) -> None:
        self._client, self._address = CLIENTS[client], address
        self._ask: Ask | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"content-type", b"authorization")
        }
        assert self._ask is not None
        async for part in self._ask(self._address + scope["path"], body, headers):
            if isinstance(part, bytes):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            else:
                status, kept = part
                await send({"type": "http.response.start", "status": status, "headers": kept})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._client() as self._ask:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    client, address, port = sys.argv[1:]
    relay = BareRelay(client, address)
    uvicorn.run(relay, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
