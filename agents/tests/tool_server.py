"""A real MCP server over real HTTP, for tests: its tools tell the weather and repeat the token."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import uvicorn
from mcp.server import MCPServer


def weather(city: str) -> str:
    """Tells the weather of a city."""
    if city == "Nowhere":
        raise ValueError("no such city")
    return f"Sunny in {city}."


@dataclass(slots=True)
class Door:
    """Lets in who brings the token, where there is one; remembers what was brought."""

    app: Any
    token: str = ""
    brought: list[str] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.brought.append(given)
            if self.token and given != f"Bearer {self.token}":
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await self.app(scope, receive, send)

    def tell(self) -> str:
        """Repeats what opens this server."""
        return f"It is {self.brought[-1]}."


# The log of a server that is not ours: it would tell what the server repeats.
logging.getLogger("sse_starlette").setLevel("WARNING")


@contextmanager
def tool_server(token: str = "") -> Iterator[Door]:
    server = MCPServer("weather")
    door = Door(None, token)
    server.tool()(weather)
    server.tool(name="tell", description=f"Tells that {token or 'nothing'} opens it.")(door.tell)
    door.app = server.streamable_http_app()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(door, log_config=None, lifespan="on")
        running = uvicorn.Server(config)
        thread = Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        door.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        yield door
        running.should_exit = True
        thread.join(5)
