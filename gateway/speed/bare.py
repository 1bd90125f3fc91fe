"""`python -m gateway.speed.bare UPSTREAM PORT`: the least that any relay on our server and our HTTP
client costs. It knows no token, no limit and no ledger; what the gateway takes beyond this is its
own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from gateway.upstream import Pieces, Upstream

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class BareRelay:
    """Any path of ours is the same path of the upstream's."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._upstream: Upstream | None = None

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
        assert self._upstream is not None
        url = self._address + scope["path"]
        response = await self._upstream.post(
            url, body=body, headers=headers, seconds=60, trusted=True
        )
        kept = [
            (name.encode(), response.headers[name].encode())
            for name in ("content-type", "content-length")
            if name in response.headers
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": kept})
        pieces = Pieces(response)
        while chunk := await pieces.read():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._upstream = Upstream()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._upstream.close()
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    address, port = sys.argv[1:]
    uvicorn.run(BareRelay(address), port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
