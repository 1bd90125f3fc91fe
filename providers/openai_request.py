"""A neutral request in OpenAI's dialect.

Wire: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from providers.registry import Provider
from providers.vocabulary import JSON, ChatRequest, Image, Message, Text, Tool, ToolCall, ToolResult


def write_request(request: ChatRequest, provider: Provider) -> JSON:
    """The request body, but for `extra`."""
    body: JSON = {
        "model": request.model,
        "messages": list(_messages(request)),
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": _tool_choice(request) if request.tools else None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        provider.wire.max_tokens: request.max_tokens,
        "stop": list(request.stop),
        "seed": request.seed,
        "reasoning_effort": request.reasoning_effort,
        "response_format": _response_format(request.response_schema),
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


def _messages(request: ChatRequest) -> Iterator[JSON]:
    if request.system:
        yield {"role": "system", "content": request.system}
    for message in request.messages:
        if message.role == "assistant":
            yield _assistant(message)
        else:
            yield from _user(message)


def _assistant(message: Message) -> JSON:
    entry: JSON = {"role": "assistant", "content": message.text or None}
    calls = [_tool_call(part) for part in message.parts if isinstance(part, ToolCall)]
    return {**entry, "tool_calls": calls} if calls else entry


def _user(message: Message) -> Iterator[JSON]:
    """Tool results are messages of their own and must follow their calls at once."""
    for part in message.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
    content = [_content(part) for part in message.parts if isinstance(part, (Text, Image))]
    if content:
        is_plain = all(item["type"] == "text" for item in content)
        yield {"role": "user", "content": message.text if is_plain else content}


def _content(part: Text | Image) -> JSON:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}


def _tool_call(call: ToolCall) -> JSON:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: Tool) -> JSON:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def _tool_choice(request: ChatRequest) -> str | JSON:
    if request.tool_choice in ("auto", "none", "required"):
        return request.tool_choice
    return {"type": "function", "function": {"name": request.tool_choice}}


def _response_format(schema: JSON | None) -> JSON | None:
    if schema is None:
        return None
    named = {"name": "answer", "schema": schema, "strict": _fits_strict_mode(schema)}
    return {"type": "json_schema", "json_schema": named}


def _fits_strict_mode(schema: object) -> bool:
    """Strict mode guarantees the schema, but refuses objects with optional or open properties.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if isinstance(schema, list):
        return all(map(_fits_strict_mode, schema))
    if not isinstance(schema, dict):
        return True
    if "properties" in schema or schema.get("type") == "object":
        optional = set(schema.get("properties", {})) - set(schema.get("required", []))
        if optional or schema.get("additionalProperties") is not False:
            return False
    return all(map(_fits_strict_mode, schema.values()))
