"""A generateContent request in the neutral vocabulary.

Wire: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, cast

from gateway.errors import BadBody, Untranslatable
from gateway.translation.fields import Fields, inline_image
from providers.vocabulary import JSON, ChatRequest, Message, Part, Text, Tool, ToolCall, ToolResult

_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required", "MODE_UNSPECIFIED": "auto"}
_LEVELS = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}
_MEDIUM_FROM, _HIGH_FROM = 4_096, 16_384
# Where a schema holds other schemas, by name or in a list.
_BY_NAME, _LISTED = ("properties", "$defs"), ("anyOf", "any_of", "oneOf", "allOf")

Effort = Literal["minimal", "low", "medium", "high"]


class ProtoFields(Fields):
    """Google takes a field's name in both spellings (max_output_tokens, maxOutputTokens), and its
    SDK sends both."""

    def __init__(self, value: object, path: str = "") -> None:
        super().__init__(value, path)
        self._left = {_UNDERSCORE.sub(_capital, name): it for name, it in self._left.items()}


_UNDERSCORE = re.compile("_([a-z])")


def _capital(found: re.Match[str]) -> str:
    return found[1].upper()


def read_google_request(body: JSON, model: str) -> ChatRequest:
    """Raises BadBody and Untranslatable."""
    fields = ProtoFields(body)
    fields.skip("model", "labels")
    config = fields.object("generationConfig")
    config.usual(candidateCount=1)
    request = ChatRequest(
        model=model,
        system=_system(fields.object("systemInstruction")),
        messages=_messages(fields),
        tools=tuple(tool for entry in fields.objects("tools") for tool in _tools(entry)),
        tool_choice=_tool_choice(fields.object("toolConfig")),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        max_tokens=config.number("maxOutputTokens"),
        stop=config.texts("stopSequences"),
        seed=config.number("seed"),
        reasoning_effort=cast(Effort | None, _effort(config.object("thinkingConfig"))),
        response_schema=_schema(config),
    )
    config.rest()
    fields.rest()
    return request


def _system(content: Fields) -> str:
    content.skip("role")
    texts = []
    for part in content.objects("parts"):
        texts.append(part.text("text"))
        part.rest()
    content.rest()
    return "\n\n".join(texts)


def _messages(fields: Fields) -> list[Message]:
    """Gemini's calls need no id: those without get one, and results find theirs by the name."""
    messages: list[Message] = []
    waiting: list[ToolCall] = []
    for number, entry in enumerate(fields.objects("contents")):
        role = entry.text("role") or "user"
        if role not in ("user", "model", "function"):
            raise entry.untranslatable("role")
        parts = tuple(
            _part(part, f"call-{number}-{place}", waiting)
            for place, part in enumerate(entry.objects("parts"))
        )
        messages.append(Message("assistant" if role == "model" else "user", parts))
        entry.rest()
    return messages


def _part(part: Fields, usual_id: str, waiting: list[ToolCall]) -> Part:
    found = next(_parts(part, usual_id, waiting), None)
    if found is None:
        raise Untranslatable(field=part.path)
    part.rest()
    return found


def _parts(part: Fields, usual_id: str, waiting: list[ToolCall]) -> Iterator[Part]:
    text = part.take("text")
    if isinstance(text, str):
        part.usual(thought=False)
        yield Text(text)
    if data := part.take("inlineData"):
        blob = ProtoFields(data, part.at("inlineData"))
        yield inline_image(blob.text("mimeType"), blob.take("data"), blob.path)
    if call := part.take("functionCall"):
        asked = ProtoFields(call, part.at("functionCall"))
        found = ToolCall(asked.text("id") or usual_id, asked.text("name"), asked.mapping("args"))
        waiting.append(found)
        yield found
    if result := part.take("functionResponse"):
        yield _result(ProtoFields(result, part.at("functionResponse")), waiting)


def _result(result: Fields, waiting: list[ToolCall]) -> ToolResult:
    call_id, name = result.text("id"), result.text("name")
    call = next((c for c in waiting if c.id == call_id or (not call_id and c.name == name)), None)
    if call is None:
        raise BadBody(flaw=f"{result.path} answers no call before it")
    waiting.remove(call)
    said: Any = result.take("response") or {}
    result.rest()
    error = isinstance(said, dict) and set(said) == {"error"}
    if isinstance(said, dict) and len(said) == 1 and set(said) & {"error", "output", "result"}:
        said = next(iter(said.values()))
    content = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return ToolResult(call.id, call.name, content, error)


def _tools(entry: Fields) -> Iterator[Tool]:
    for function in entry.objects("functionDeclarations"):
        schema = function.mapping("parametersJsonSchema")
        schema = schema or json_schema(function.mapping("parameters") or {"type": "OBJECT"})
        yield Tool(function.text("name"), function.text("description"), schema)
        function.skip("response", "responseJsonSchema")  # what the caller's own function gives back
        function.rest()
    entry.rest()  # a tool that Google runs itself


def _tool_choice(config: Fields) -> str:
    calling = config.object("functionCallingConfig")
    mode = str(calling.choice("mode", _MODES, "auto"))
    names = calling.texts("allowedFunctionNames")
    calling.rest()
    config.rest()
    if len(names) > 1:
        raise calling.untranslatable("allowedFunctionNames")
    return names[0] if names else mode


def _effort(thinking: Fields) -> str | None:
    thinking.skip("includeThoughts")
    level = thinking.choice("thinkingLevel", _LEVELS)
    budget = thinking.number("thinkingBudget")
    thinking.rest()
    if level or budget is None or budget < 0:  # a negative one leaves it to the model
        return str(level) if level else None
    if budget == 0:
        return "minimal"
    return "high" if budget >= _HIGH_FROM else "medium" if budget >= _MEDIUM_FROM else "low"


def _schema(config: Fields) -> JSON | None:
    kind = config.text("responseMimeType")
    plain = config.take("responseSchema")
    schema: JSON | None = config.mapping("responseJsonSchema") or (
        json_schema(plain) if plain else None
    )
    if kind not in ("", "text/plain", "application/json") or (kind[-4:] == "json" and not schema):
        raise config.untranslatable("responseMimeType")
    return schema


def json_schema(schema: Any) -> JSON:
    """Gemini's own kind of schema as a JSON Schema: its names of types are in capitals."""
    if not isinstance(schema, dict):
        raise BadBody(flaw="a schema is not an object")
    found = {name: value for name, value in schema.items() if name != "propertyOrdering"}
    if isinstance(kind := found.get("type"), str):
        found["type"] = kind.lower()
    if found.pop("nullable", False) and "type" in found:
        found["type"] = [found["type"], "null"]
    for name in _BY_NAME:
        if isinstance(inner := found.get(name), dict):
            found[name] = {key: json_schema(value) for key, value in inner.items()}
    for name in _LISTED:
        if isinstance(listed := found.get(name), list):
            found[name] = [json_schema(value) for value in listed]
    if isinstance(items := found.get("items"), dict):
        found["items"] = json_schema(items)
    return found
