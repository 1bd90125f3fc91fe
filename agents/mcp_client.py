"""Tools of people's own servers, by MCP over streamable HTTP, through the network guard.

Each listing and each call is a connection of its own: nothing is held open between the steps of
a turn. A server that keeps state between calls can't do so here.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx2
from django.conf import settings
from mcp import ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from agents.database import in_database
from agents.errors import ToolServerDenied, ToolServerFailed, ToolServersClosed
from agents.models import ToolServer
from agents.tools import ToolError
from credentials.vault import Unreadable
from providers.http import SharedClient, timeouts
from providers.redaction import redact
from providers.vocabulary import JSON, Tool

MOST_TOOLS = 50  # of one server
LISTING_SECONDS = 20.0
LONGEST_SILENCE = 60.0  # seconds; how long a tool may take is for `agents.toolbox` to say
_FAILURES = (
    MCPError, httpx2.HTTPError, OSError, TimeoutError, ValidationError, ExceptionGroup,
    anyio.ClosedResourceError, anyio.BrokenResourceError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool of a server: `tool.name` is what our model calls it, `name` its own."""

    tool: Tool
    server_id: uuid.UUID
    name: str

    async def run(self, arguments: JSON) -> str:
        """The result as text. Raises ToolError. The server is read anew for each call: one that
        has been deleted meanwhile, or given another token, has been so at once."""
        server = await in_database(ToolServer.objects.active().filter(pk=self.server_id).first)
        if server is None:
            raise ToolError("The tool server has been deleted.")
        try:
            async with _connected(server) as link:
                result = await link.session.call_tool(self.name, arguments)
        except ToolServerFailed as error:
            raise ToolError(str(error)) from None
        except Unreadable:
            raise ToolError(f"The token of the tool server {server.name} can't be read.") from None
        if not isinstance(result, CallToolResult):
            raise ToolError("The tool asks for more than this server can give.")
        text = link.clean(_text_of(result))
        if result.is_error:
            raise ToolError(text or "The tool failed and gave no reason.")
        return text


async def remote_tools(server: ToolServer) -> list[RemoteTool]:
    """What the server offers. Raises ToolServerFailed, ToolServersClosed and vault.Unreadable."""
    if not settings.CUSTOM_BASE_URLS:
        raise ToolServersClosed
    try:
        async with asyncio.timeout(LISTING_SECONDS), _connected(server) as link:
            offered = (await link.session.list_tools()).tools
    except TimeoutError:
        raise ToolServerFailed(name=server.name) from None
    return [
        RemoteTool(
            Tool(
                called(server.name, link.clean(tool.name)),
                link.clean(tool.description or ""),
                link.clean_all(tool.input_schema),
            ),
            server.pk,
            tool.name,
        )
        for tool in offered[:MOST_TOOLS]
    ]


def called(server: str, tool: str) -> str:
    """A name that all providers take."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", f"{server}_{tool}")[:64]


@dataclass(frozen=True, slots=True)
class _Link:
    """An open connection. What comes over it is `clean`ed: a server may repeat its token."""

    session: ClientSession
    token: str

    def clean(self, text: str) -> str:
        return redact(text, self.token)

    def clean_all(self, value: Any) -> Any:
        """The same for all text in a JSON value."""
        match value:
            case str():
                return self.clean(value)
            case list():
                return [self.clean_all(item) for item in value]
            case dict():
                return {self.clean(key): self.clean_all(item) for key, item in value.items()}
        return value


@asynccontextmanager
async def _connected(server: ToolServer) -> AsyncGenerator[_Link]:
    """Raises ToolServerFailed for whatever goes wrong within, and vault.Unreadable."""
    token = server.reveal_token()
    refused = False

    async def look(response: httpx2.Response) -> None:
        nonlocal refused
        refused = refused or response.status_code in (401, 403)

    try:
        async with aclosing(SharedClient()) as http:
            http.timeout = timeouts(LONGEST_SILENCE)
            http.event_hooks["response"].append(look)
            if token:
                http.headers["Authorization"] = f"Bearer {token}"
            async with (
                streamable_http_client(server.url, http_client=http) as (read, write),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                yield _Link(session, token)
    except _FAILURES:
        kind = ToolServerDenied if refused else ToolServerFailed
        raise kind(name=server.name) from None


def _text_of(result: CallToolResult) -> str:
    return "\n".join(
        block.text if isinstance(block, TextContent) else f"[{block.type}]"
        for block in result.content
    )
