"""The tools of one session: which there are, and running one so that it can't hurt the turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from time import perf_counter
from typing import Annotated, Any, Protocol
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from agents.calculator import calculator
from agents.errors import ToolNotFound, ToolServersClosed
from agents.fetching import fetch_url
from agents.models import ToolServer
from agents.tools import FunctionTool, ToolError, tool
from providers.vocabulary import JSON, Tool, ToolCall, ToolResult

SECONDS = 30.0  # for one call of a tool
MAX_CHARACTERS = 50_000  # of a result
SERVER_PREFIX = "mcp:"
logger = logging.getLogger(__name__)


@tool
def current_time(
    zone: Annotated[str, "An IANA time zone such as Europe/Paris"] = "UTC",
) -> str:
    """Tells the current date and time of a time zone."""
    try:
        now: datetime = timezone.now().astimezone(ZoneInfo(zone))
    except (ValueError, OSError, KeyError):  # unknown, or no name of a zone at all
        raise ToolError("There is no such time zone.") from None
    return now.strftime("%A %Y-%m-%d %H:%M:%S %Z (UTC%z)")


BUILT_IN: dict[str, FunctionTool] = {
    each.tool.name: each for each in (calculator, current_time, fetch_url)
}


def functions() -> Mapping[str, FunctionTool]:
    """The built-in tools, then those of the operator (BYOM_TOOLS). Raises ImproperlyConfigured
    for what is no tool, or has the name of another."""
    return {**BUILT_IN, **_of_operator(tuple(settings.TOOLS))}


@cache
def _of_operator(paths: tuple[str, ...]) -> dict[str, FunctionTool]:
    found: dict[str, FunctionTool] = {}
    for path in paths:
        try:
            each = import_string(path)
        except ImportError as error:
            raise ImproperlyConfigured(f"BYOM_TOOLS: {path} can't be imported: {error}") from None
        if not isinstance(each, FunctionTool):
            raise ImproperlyConfigured(f"BYOM_TOOLS: {path} is no function with @tool.")
        if each.tool.name in {**BUILT_IN, **found}:
            raise ImproperlyConfigured(f"BYOM_TOOLS: there are two tools named {each.tool.name}.")
        found[each.tool.name] = each
    return found


class Runnable(Protocol):
    @property
    def tool(self) -> Tool: ...

    async def run(self, arguments: JSON) -> str: ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool gave, and how long it took."""

    result: ToolResult
    duration_ms: float


async def remote_tools(server: ToolServer) -> Sequence[Runnable]:
    """What a tool server offers. Raises ToolServerFailed and ToolServersClosed.

    The `mcp` package takes 20 MB: it is loaded by those processes that meet a tool server.
    """
    from agents import mcp_client

    return await mcp_client.remote_tools(server)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A session's choice of tools, before its servers have been asked what they offer. `built_in`
    are functions of this server, the operator's too."""

    built_in: tuple[FunctionTool, ...] = ()
    servers: tuple[ToolServer, ...] = ()

    async def open(self) -> Toolbox:
        """Raises ToolServerFailed and ToolServersClosed."""
        found: list[Runnable] = []
        for server in self.servers:
            found += await remote_tools(server)
        found += self.built_in  # whose names nobody may take
        return Toolbox({each.tool.name: each for each in found})


def choose(owner: Any, names: Iterable[str]) -> Chosen:
    """The tools of these names. Raises ToolNotFound, also for a server that is not the owner's, and
    ToolServersClosed."""
    wanted = list(dict.fromkeys(names))
    servers = _servers(owner) if any(name.startswith(SERVER_PREFIX) for name in wanted) else {}
    if (servers or fetch_url.tool.name in wanted) and not settings.CUSTOM_BASE_URLS:
        raise ToolServersClosed
    known = functions()
    for name in wanted:
        if name not in known and name not in servers:
            raise ToolNotFound(name=name[:64], known=", ".join(known))
    return Chosen(
        tuple(known[name] for name in wanted if name in known),
        tuple(servers[name] for name in wanted if name in servers),
    )


def known_tools(owner: Any) -> list[tuple[str, str]]:
    """The names that `choose` takes from this owner, each with what it does."""
    reaching = bool(settings.CUSTOM_BASE_URLS)
    found = [
        (name, f"{name}: {' '.join(each.tool.description.split()).partition('. ')[0]}")
        for name, each in functions().items()
        if reaching or each is not fetch_url
    ]
    servers = _servers(owner) if reaching else {}
    return [*found, *((name, f"{name}: {row.url}") for name, row in servers.items())]


def _servers(owner: Any) -> dict[str, ToolServer]:
    rows = ToolServer.objects.owned_by(owner).active()
    return {SERVER_PREFIX + row.name: row for row in rows}


@dataclass(frozen=True, slots=True)
class Toolbox:
    by_name: dict[str, Runnable]

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(each.tool for each in self.by_name.values())

    async def run_all(self, calls: Sequence[ToolCall]) -> list[Result]:
        """The results, in the order of the calls, which run side by side."""
        return await asyncio.gather(*map(self.run, calls))

    async def run(self, call: ToolCall) -> Result:
        """Always a result: what goes wrong is told to the model."""
        start = perf_counter()
        try:
            content, failed = await self._content(call), False
        except ToolError as error:
            content, failed = str(error), True
        result = ToolResult(call.id, call.name, content[:MAX_CHARACTERS], is_error=failed)
        return Result(result, round((perf_counter() - start) * 1000, 1))

    async def _content(self, call: ToolCall) -> str:
        if call.name not in self.by_name:
            raise ToolError(f"There is no tool {call.name[:64]}.")
        try:
            async with asyncio.timeout(SECONDS):
                return await self.by_name[call.name].run(call.arguments)
        except TimeoutError:
            raise ToolError(f"The tool took longer than {SECONDS:.0f} seconds.") from None
        except ToolError:
            raise
        except Exception:  # a mistake in a tool is no reason to lose the turn
            logger.exception("The tool %s failed.", call.name[:64])
            raise ToolError("The tool failed.") from None
