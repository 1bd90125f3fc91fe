"""`python -m gateway.speed.bare UPSTREAM PORT`: the least that any relay on our server and our HTTP
client costs. It knows no token, no limit and no ledger; what the gateway takes beyond this is its
own."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from providers.http import http_client

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class BareRelay:
    """Any path of ours is the same path of the upstream's."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name in (b"content-type", b"authorization")
        ]
        async with http_client() as shared:
            request = shared.trusted.build_request(
                "POST", self.upstream + scope["path"], content=body, headers=headers
            )
            response = await shared.trusted.send(request, stream=True)
            try:
                kind = response.headers.get("content-type", "").encode()
                head = {"status": response.status_code, "headers": [(b"content-type", kind)]}
                await send({"type": "http.response.start", **head})
                async for chunk in response.aiter_raw():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                await response.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _live(self, receive: Receive, send: Send) -> None:
        """Holds one HTTP client open for as long as it serves, as the product's server does."""
        await receive()
        async with http_client():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def main() -> None:
    upstream, port = sys.argv[1:]
    uvicorn.run(BareRelay(upstream), port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
