"""A Messages request in the neutral vocabulary.

Wire: https://platform.claude.com/docs/en/api/messages/create
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

from gateway.errors import BadBody, Untranslatable
from gateway.translation.fields import Fields, inline_image
from providers.vocabulary import JSON, ChatRequest, Message, Part, Text, Tool, ToolCall, ToolResult

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
# Of a thinking budget in tokens, the effort that comes nearest.
_MEDIUM_FROM, _HIGH_FROM = 4_096, 16_384

Effort = Literal["minimal", "low", "medium", "high"]


def read_anthropic_request(body: JSON, model: str) -> ChatRequest:
    """Raises BadBody and Untranslatable."""
    fields = Fields(body)
    fields.skip("model", "stream", "metadata", "service_tier", "cache_control")
    output = fields.object("output_config")
    effort = output.choice("effort", _EFFORTS) or _thinking(fields.object("thinking"))
    names: dict[str, str] = {}
    request = ChatRequest(
        model=model,
        system=_system(fields),
        messages=[_message(entry, names) for entry in fields.objects("messages")],
        tools=tuple(map(_tool, fields.objects("tools"))),
        tool_choice=_tool_choice(fields.object("tool_choice")),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        max_tokens=fields.number("max_tokens"),
        stop=fields.texts("stop_sequences"),
        reasoning_effort=cast(Effort | None, effort),
        response_schema=_schema(output.object("format")),
    )
    output.rest()
    fields.rest()
    return request


def _system(fields: Fields) -> str:
    value = fields.take("system")
    if isinstance(value, str):
        return value
    blocks = Fields({"system": value}).objects("system")
    return "\n\n".join(_text(block) for block in blocks)


def _text(block: Fields) -> str:
    if block.text("type") != "text":
        raise block.untranslatable("type")
    text = block.text("text")
    block.skip("cache_control", "citations")
    block.rest()
    return text


def _message(entry: Fields, names: dict[str, str]) -> Message:
    role = entry.text("role")
    if role not in ("user", "assistant"):
        raise entry.untranslatable("role")
    content = entry.take("content")
    if isinstance(content, str):
        parts: tuple[Part, ...] = (Text(content),)
    else:
        blocks = Fields({"content": content}, entry.path).objects("content")
        parts = tuple(part for block in blocks for part in _part(block, names))
    entry.rest()
    return Message(cast(Literal["user", "assistant"], role), parts)


def _part(block: Fields, names: dict[str, str]) -> Iterator[Part]:
    kind = block.text("type")
    block.skip("cache_control")
    if kind == "text":
        yield Text(block.text("text"))
        block.skip("citations")
    elif kind == "image":
        yield _image(block.object("source"))
    elif kind == "tool_use":
        call = ToolCall(block.text("id"), block.text("name"), block.mapping("input"))
        names[call.id] = call.name
        block.skip("caller")
        yield call
    elif kind == "tool_result":
        yield _result(block, names)
    else:
        raise Untranslatable(field=f"{block.path} of type {kind or 'none'}")
    block.rest()


def _image(source: Fields) -> Part:
    if source.text("type") != "base64":
        raise source.untranslatable("type")
    image = inline_image(source.text("media_type"), source.take("data"), source.path)
    source.rest()
    return image


def _result(block: Fields, names: dict[str, str]) -> ToolResult:
    call_id = block.text("tool_use_id")
    if call_id not in names:
        raise BadBody(flaw=f"{block.at('tool_use_id')} names no call before it")
    content = block.take("content")
    if not isinstance(content, str):
        parts = Fields({"content": content}, block.path).objects("content")
        content = "".join(map(_text, parts))
    return ToolResult(call_id, names[call_id], content, bool(block.take("is_error")))


def _tool(entry: Fields) -> Tool:
    entry.usual(type="custom")
    entry.skip("cache_control", "strict")
    tool = Tool(
        name=entry.text("name"),
        description=entry.text("description"),
        schema=entry.mapping("input_schema") or {"type": "object", "properties": {}},
    )
    entry.rest()  # a tool that the provider runs itself has a type of its own
    return tool


def _tool_choice(choice: Fields) -> str:
    kind = choice.text("type") or "auto"
    choice.usual(disable_parallel_tool_use=False)
    name = choice.text("name")
    choice.rest()
    if kind == "tool":
        return name
    if kind not in _CHOICES:
        raise choice.untranslatable("type")
    return _CHOICES[kind]


def _thinking(thinking: Fields) -> str | None:
    kind = thinking.text("type")
    budget = thinking.number("budget_tokens") or 0
    thinking.skip("display")
    thinking.rest()
    if kind in ("", "disabled", "adaptive"):
        return None
    if kind != "enabled":
        raise thinking.untranslatable("type")
    return "high" if budget >= _HIGH_FROM else "medium" if budget >= _MEDIUM_FROM else "low"


def _schema(wanted: Fields) -> JSON | None:
    kind = wanted.text("type")
    schema: JSON | None = wanted.mapping("schema") or None
    if kind not in ("", "json_schema"):
        raise wanted.untranslatable("type")
    wanted.rest()
    return schema
