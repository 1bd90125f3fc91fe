"""Tools of people's own servers, by MCP over streamable HTTP, through the network guard.

Each listing and each call is a connection of its own: nothing is held open between the steps of
a turn. A server that keeps state between calls can't do so here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2
from django.conf import settings
from mcp import ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from agents.errors import ToolServerFailed, ToolServersClosed
from agents.models import ToolServer
from agents.tools import ToolError
from providers.http import SharedClient, timeouts
from providers.vocabulary import JSON, Tool

MOST_TOOLS = 50  # of one server
SECONDS = 20.0
_FAILURES = (
    MCPError, httpx2.HTTPError, OSError, TimeoutError, ValidationError, ExceptionGroup,
    anyio.ClosedResourceError, anyio.BrokenResourceError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool of a server: `tool.name` is what our model calls it, `name` its own."""

    tool: Tool
    server: ToolServer
    name: str

    async def run(self, arguments: JSON) -> str:
        """The result as text. Raises ToolError."""
        try:
            async with _connected(self.server) as session:
                result = await session.call_tool(self.name, arguments)
        except _FAILURES:
            raise ToolError(f"The tool server {self.server.name} failed.") from None
        if not isinstance(result, CallToolResult):
            raise ToolError("The tool asks for more than this server can give.")
        text = _text_of(result)
        if result.is_error:
            raise ToolError(text or "The tool failed and gave no reason.")
        return text


async def remote_tools(server: ToolServer) -> list[RemoteTool]:
    """What the server offers. Raises ToolServerFailed and ToolServersClosed."""
    if not settings.CUSTOM_BASE_URLS:
        raise ToolServersClosed
    try:
        async with asyncio.timeout(SECONDS), _connected(server) as session:
            offered = (await session.list_tools()).tools
    except _FAILURES:
        raise ToolServerFailed(name=server.name) from None
    return [
        RemoteTool(
            Tool(called(server.name, tool.name), tool.description or "", tool.input_schema),
            server,
            tool.name,
        )
        for tool in offered[:MOST_TOOLS]
    ]


def called(server: str, tool: str) -> str:
    """A name that all providers take."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", f"{server}_{tool}")[:64]


@asynccontextmanager
async def _connected(server: ToolServer) -> AsyncGenerator[ClientSession]:
    async with aclosing(SharedClient()) as http:
        http.timeout = timeouts(SECONDS)
        async with (
            streamable_http_client(server.url, http_client=http) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            yield session


def _text_of(result: CallToolResult) -> str:
    return "\n".join(
        block.text if isinstance(block, TextContent) else f"[{block.type}]"
        for block in result.content
    )
