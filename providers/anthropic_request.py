"""A neutral request in Anthropic's dialect.

Wire: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from providers.vocabulary import JSON, ChatRequest, Image, Message, Part, Text, ToolCall, ToolResult

# The API insists on a limit, and this is the highest that its oldest models take.
DEFAULT_MAX_TOKENS = 4096


def write_request(request: ChatRequest) -> dict[str, Any]:
    """The SDK's arguments. It has none for temperature and top_p, so they travel as extras."""
    extra = {"temperature": request.temperature, "top_p": request.top_p}
    return {
        **_body(request),
        "extra_headers": dict(request.headers),
        "extra_body": {**_without_none(extra), **request.extra},
    }


def _body(request: ChatRequest) -> JSON:
    body: JSON = {
        "model": request.model,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "system": request.system or None,
        "messages": [_message(message) for message in request.messages],
        "tools": [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in request.tools
        ]
        or None,
        "tool_choice": _tool_choice(request.tool_choice) if request.tools else None,
        "stop_sequences": list(request.stop) or None,
        "output_config": _output_config(request) or None,
    }
    return _without_none(body)


def _without_none(values: JSON) -> JSON:
    return {name: value for name, value in values.items() if value is not None}


def _tool_choice(choice: str) -> JSON:
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def _output_config(request: ChatRequest) -> JSON:
    """How much to think, and the shape of the answer. "low" is the least effort there is."""
    config: JSON = {}
    if effort := request.reasoning_effort:
        config["effort"] = "low" if effort == "minimal" else effort
    if request.response_schema is not None:
        config["format"] = {"type": "json_schema", "schema": request.response_schema}
    return config


def _message(message: Message) -> JSON:
    """Tool results must be the first thing in the message that follows their calls."""
    parts = sorted(message.parts, key=lambda part: not isinstance(part, ToolResult))
    return {"role": message.role, "content": [block for part in parts for block in _blocks(part)]}


def _blocks(part: Part) -> Iterator[JSON]:
    match part:
        case Text(text):
            yield {"type": "text", "text": text}
        case Image(media_type, data):
            encoded = base64.b64encode(data).decode()
            source = {"type": "base64", "media_type": media_type, "data": encoded}
            yield {"type": "image", "source": source}
        case ToolCall(id, name, arguments, opaque):
            yield from json.loads(opaque) if opaque else ()
            yield {"type": "tool_use", "id": id, "name": name, "input": arguments}
        case ToolResult(call_id, _, content, is_error):
            block = {"type": "tool_result", "tool_use_id": call_id, "content": content}
            yield {**block, "is_error": True} if is_error else block
