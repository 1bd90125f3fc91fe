"""Parts of a message as JSON, for the database and the API.

    {"type": "text", "text"}
    {"type": "image", "media_type", "data"}                      data in base64
    {"type": "tool_call", "id", "name", "arguments"}             and opaque, opaque_of
    {"type": "tool_result", "call_id", "name", "content", "is_error", "duration_ms"}

`opaque` is a provider's own and goes back to that provider only (`opaque_of`), never to people.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

from providers.vocabulary import Image, Part, Text, ToolCall, ToolResult

JSON = dict[str, Any]
_PRIVATE = ("opaque", "opaque_of")


def dump(part: Part, provider: str = "") -> JSON:
    """`provider` is who made the part, where it may hold something opaque."""
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Image(media_type, data):
            encoded = base64.b64encode(data).decode()
            return {"type": "image", "media_type": media_type, "data": encoded}
        case ToolCall(id, name, arguments, opaque):
            call = {"type": "tool_call", "id": id, "name": name, "arguments": arguments}
            return {**call, "opaque": opaque, "opaque_of": provider} if opaque else call
        case ToolResult(call_id, name, content, is_error):
            return {
                "type": "tool_result", "call_id": call_id, "name": name, "content": content,
                "is_error": is_error,
            }  # fmt: skip
    assert_never(part)


def load(data: Mapping[str, Any], provider: str = "") -> Part:
    """The part again, for a call to `provider`."""
    match data["type"]:
        case "text":
            return Text(data["text"])
        case "image":
            return Image(data["media_type"], base64.b64decode(data["data"]))
        case "tool_call":
            opaque = data.get("opaque") if data.get("opaque_of") == provider else None
            return ToolCall(data["id"], data["name"], data["arguments"], opaque)
        case "tool_result":
            return ToolResult(data["call_id"], data["name"], data["content"], data["is_error"])
    raise ValueError(f"A message part of type {data['type']!r} is unknown.")


def shown(parts: Iterable[Mapping[str, Any]]) -> list[JSON]:
    """Parts as people see them."""
    return [{k: v for k, v in part.items() if k not in _PRIVATE} for part in parts]
