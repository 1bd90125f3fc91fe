"""What a provider can do, and what a request needs: compared before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Set
from enum import StrEnum

from providers.vocabulary import ChatRequest, Image, Part, ToolCall, ToolResult


class Capability(StrEnum):
    """Named like the field of `ChatRequest` that needs it, so that a refusal names the field."""

    SYSTEM = "system"
    TOOLS = "tools"
    IMAGES = "images"
    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    STOP = "stop"
    SEED = "seed"
    REASONING_EFFORT = "reasoning_effort"
    RESPONSE_SCHEMA = "response_schema"


def lacking(request: ChatRequest, capabilities: Set[Capability]) -> Capability | None:
    """The first thing that `request` needs and that is not in `capabilities`."""
    return next((need for need in _needs(request) if need not in capabilities), None)


def _needs(request: ChatRequest) -> Iterator[Capability]:
    if request.tools or _holds(request, ToolCall, ToolResult):
        yield Capability.TOOLS
    if _holds(request, Image):
        yield Capability.IMAGES
    for capability in _PLAIN_FIELDS:
        if getattr(request, capability.value) not in (None, "", ()):
            yield capability


_PLAIN_FIELDS = tuple(c for c in Capability if c not in (Capability.TOOLS, Capability.IMAGES))


def _holds(request: ChatRequest, *kinds: type[Part]) -> bool:
    return any(isinstance(part, kinds) for message in request.messages for part in message.parts)
