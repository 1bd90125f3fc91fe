"""A Chat Completions request in the neutral vocabulary.

Wire: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.errors import BadBody, Untranslatable
from gateway.translation.fields import Fields, image_of_data_url
from providers.vocabulary import (
    JSON,
    ChatRequest,
    Message,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

_EFFORTS = {name: name for name in ("minimal", "low", "medium", "high")}
_CHOICES = {name: name for name in ("auto", "none", "required")}


def read_openai_request(body: JSON, model: str) -> ChatRequest:
    """Raises BadBody and Untranslatable."""
    fields = Fields(body)
    fields.skip("model", "stream", "stream_options", "user", "metadata", "store", "service_tier")
    fields.skip("safety_identifier", "prompt_cache_key")
    fields.usual(n=1, logprobs=False, parallel_tool_calls=True)
    fields.usual(presence_penalty=0, frequency_penalty=0)
    system, messages = _conversation(fields)
    stop = fields.take("stop")
    stops = Fields({"stop": [stop] if isinstance(stop, str) else stop}).texts("stop")
    request = ChatRequest(
        model=model,
        system=system,
        messages=messages,
        tools=tuple(map(_tool, fields.objects("tools"))),
        tool_choice=_tool_choice(fields),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        max_tokens=fields.number("max_completion_tokens") or fields.number("max_tokens"),
        stop=stops,
        seed=fields.number("seed"),
        reasoning_effort=fields.choice("reasoning_effort", _EFFORTS),
        response_schema=_schema(fields.object("response_format")),
    )
    fields.skip("max_tokens")
    fields.rest()
    return request


def _conversation(fields: Fields) -> tuple[str, list[Message]]:
    system: list[str] = []
    messages: list[Message] = []
    names: dict[str, str] = {}  # of tools, by the id of their call
    for entry in fields.objects("messages"):
        role = entry.text("role")
        entry.skip("name")
        if role in ("system", "developer"):
            system.append(_plain(entry))
        elif role == "user":
            messages.append(Message("user", tuple(_content(entry))))
        elif role == "assistant":
            messages.append(_assistant(entry, names))
        elif role == "tool":
            _add_result(messages, entry, names)
        else:
            raise entry.untranslatable("role")
        entry.rest()
    return "\n\n".join(system), messages


def _content(entry: Fields) -> Iterator[Part]:
    content = entry.take("content")
    if isinstance(content, str):
        yield Text(content)
        return
    for part in Fields({"content": content}, entry.path).objects("content"):
        kind = part.text("type")
        if kind in ("text", "refusal"):
            yield Text(part.text(kind))
        elif kind == "image_url":
            image = part.object("image_url")
            yield image_of_data_url(image.text("url"), image.at("url"))
            image.usual(detail="auto")
            image.rest()
        else:
            raise Untranslatable(field=f"{part.path} of type {kind or 'none'}")
        part.rest()


def _plain(entry: Fields) -> str:
    parts = list(_content(entry))
    if not all(isinstance(part, Text) for part in parts):
        raise entry.untranslatable("content")
    return "".join(part.text for part in parts if isinstance(part, Text))


def _assistant(entry: Fields, names: dict[str, str]) -> Message:
    entry.skip("refusal", "annotations", "reasoning_content", "parsed")
    parts = [part for part in _content(entry) if part != Text("")]
    for call in entry.objects("tool_calls"):
        function = call.object("function")
        call.usual(type="function")
        call.skip("index")
        found = ToolCall(call.text("id"), function.text("name"), _arguments(function))
        names[found.id] = found.name
        parts.append(found)
        function.skip("parsed_arguments")  # of the SDK's own helper, which sends it back
        function.rest()
        call.rest()
    return Message("assistant", tuple(parts))


def _arguments(function: Fields) -> JSON:
    try:
        arguments = json.loads(function.text("arguments") or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise BadBody(flaw=f"{function.at('arguments')} is not a JSON object")
    return arguments


def _add_result(messages: list[Message], entry: Fields, names: dict[str, str]) -> None:
    """Results of one round stand in one message."""
    call_id = entry.text("tool_call_id")
    if call_id not in names:
        raise BadBody(flaw=f"{entry.at('tool_call_id')} names no call before it")
    result = ToolResult(call_id, names[call_id], _plain(entry))
    last = messages[-1]
    if last.role == "user" and all(isinstance(part, ToolResult) for part in last.parts):
        messages[-1] = Message("user", (*last.parts, result))
    else:
        messages.append(Message("user", (result,)))


def _tool(entry: Fields) -> Tool:
    if entry.text("type") != "function":
        raise Untranslatable(field=entry.at("type"))
    function = entry.object("function")
    function.skip("strict")
    tool = Tool(
        name=function.text("name"),
        description=function.text("description"),
        schema=function.mapping("parameters") or {"type": "object", "properties": {}},
    )
    function.rest()
    entry.rest()
    return tool


def _tool_choice(fields: Fields) -> str:
    value: Any = fields.take("tool_choice")
    if isinstance(value, dict):
        named = Fields(value, "tool_choice")
        named.usual(type="function")
        function = named.object("function")
        name = function.text("name")
        function.rest()
        named.rest()
        return name
    if value is not None and not (isinstance(value, str) and value in _CHOICES):
        raise fields.untranslatable("tool_choice")
    return value or "auto"


def _schema(wanted: Fields) -> JSON | None:
    """A schema, or None for plain text. JSON without a schema is nothing that others promise."""
    kind = wanted.text("type")
    if kind == "json_schema":
        inner = wanted.object("json_schema")
        inner.skip("name", "strict", "description")
        schema: JSON = inner.mapping("schema")
        inner.rest()
        return schema
    if kind not in ("", "text"):
        raise wanted.untranslatable("type")
    wanted.rest()
    return None
