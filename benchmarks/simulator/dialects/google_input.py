"""Reads Gemini's generateContent requests.

Source: https://ai.google.dev/api/generate-content. Like Google's JSON we take camelCase and
snake_case names.
"""

import re
from typing import Any

from benchmarks.simulator.dialects.base import data_size
from benchmarks.simulator.prompt import Call, Image, Message, Prompt, Tool
from benchmarks.simulator.shapes import (
    BadRequest,
    Json,
    dumps,
    items,
    mapping,
    string,
    strings,
    whole,
)

MODES = {"AUTO": "auto", "MODE_UNSPECIFIED": "auto", "NONE": "none", "ANY": "required"}
JSON_TYPES = ("application/json", "text/x.enum")
UNEVEN = (
    "Please ensure that the number of function response parts is equal to the number of function "
    "call parts of the function call turn."
)
_CAPITAL = re.compile(r"[A-Z]")


def pick(entry: Json, name: str) -> Any:
    """The field, by its camelCase or its snake_case name; None if absent."""
    if name in entry:
        return entry[name]
    return entry.get(_CAPITAL.sub(lambda m: "_" + m[0].lower(), name))


def read(body: Json, model: str, stream: bool) -> Prompt:
    """The neutral prompt of a generateContent request. Raises BadRequest."""
    config = mapping(pick(body, "generationConfig") or {}, "generation_config")
    schema, wants_json = _schema(config)
    tools = _tools(body)
    return Prompt(
        model=model,
        messages=_messages(pick(body, "contents")),
        system=_system(pick(body, "systemInstruction")),
        tools=tools,
        tool_choice=_choice(body, tools),
        max_tokens=whole(pick(config, "maxOutputTokens"), "generation_config.max_output_tokens"),
        stop=strings(pick(config, "stopSequences"), "generation_config.stop_sequences"),
        wants_json=wants_json,
        schema=schema,
        thinking=_thinking(config),
        stream=stream,
    )


def _thinking(config: Json) -> bool:
    thinking = mapping(pick(config, "thinkingConfig") or {}, "thinking_config")
    return pick(thinking, "includeThoughts") is True


def _schema(config: Json) -> tuple[Json | None, bool]:
    wants_json = pick(config, "responseMimeType") in JSON_TYPES
    for name in ("responseSchema", "responseJsonSchema", "_responseJsonSchema"):
        schema = pick(config, name)
        if schema is not None:
            if not wants_json:
                raise BadRequest(
                    "Function calling with a response schema needs the response mime "
                    "type: 'application/json'"
                )
            return mapping(schema, f"generation_config.{name}"), True
    return None, wants_json


def _system(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    parts = items(pick(mapping(value, "system_instruction"), "parts"), "system_instruction.parts")
    texts = (mapping(part, "system_instruction.parts").get("text") for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _tools(body: Json) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for at, value in enumerate(items(pick(body, "tools") or [], "tools")):
        declared = pick(mapping(value, f"tools[{at}]"), "functionDeclarations")
        for entry in items(declared or [], f"tools[{at}].function_declarations"):
            found.append(_tool(mapping(entry, f"tools[{at}].function_declarations")))
    return tuple(found)


def _tool(entry: Json) -> Tool:
    name = string(entry.get("name"), "function_declarations.name")
    schema = pick(entry, "parametersJsonSchema") or entry.get("parameters") or {}
    description = string(entry.get("description") or "", "function_declarations.description")
    return Tool(name, description, mapping(schema, "function_declarations.parameters"))


def _choice(body: Json, tools: tuple[Tool, ...]) -> str:
    config = mapping(pick(body, "toolConfig") or {}, "tool_config")
    calling = mapping(pick(config, "functionCallingConfig") or {}, "function_calling_config")
    mode = str(pick(calling, "mode") or "AUTO").upper()
    allowed = strings(pick(calling, "allowedFunctionNames"), "allowed_function_names")
    if mode == "ANY" and allowed:
        return f"={allowed[0]}"
    return MODES.get(mode, "auto")


def _messages(contents: Any) -> tuple[Message, ...]:
    if not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified\n")
    if isinstance(contents, dict):
        contents = [contents]
    messages: list[Message] = []
    open_calls = 0
    for at, value in enumerate(items(contents, "contents")):
        turn = _Turn(f"contents[{at}]")
        turn.read(mapping(value, turn.where))
        if open_calls and len(turn.results) != open_calls:
            raise BadRequest(UNEVEN)
        open_calls = len(turn.calls)
        messages += turn.messages()
    return tuple(messages)


class _Turn:
    """Sorts the parts of one content into text, images, calls and results."""

    def __init__(self, where: str) -> None:
        self.where, self.role = where, "user"
        self.texts: list[str] = []
        self.images: list[Image] = []
        self.calls: list[Call] = []
        self.results: list[Message] = []

    def read(self, content: Json) -> None:
        self.role = content.get("role") or "user"
        if self.role not in ("user", "model", "function"):
            raise BadRequest("Please use a valid role: user, model.")
        for at, value in enumerate(items(content.get("parts"), f"{self.where}.parts")):
            self._part(mapping(value, f"{self.where}.parts[{at}]"), f"{self.where}.parts[{at}]")

    def messages(self) -> list[Message]:
        text = "\n".join(self.texts)
        if self.role == "model":
            return [Message("assistant", text, tuple(self.images), tuple(self.calls))]
        if not text and not self.images and self.results:
            return self.results
        return [*self.results, Message("user", text, tuple(self.images))]

    def _part(self, part: Json, where: str) -> None:
        data, call = pick(part, "inlineData"), pick(part, "functionCall")
        result, file = pick(part, "functionResponse"), pick(part, "fileData")
        if isinstance(part.get("text"), str):
            self.texts.append("" if part.get("thought") is True else part["text"])
        elif data is not None:
            self._blob(mapping(data, f"{where}.inline_data"), where)
        elif file is not None:
            self._file(mapping(file, f"{where}.file_data"), where)
        elif call is not None:
            entry = mapping(call, f"{where}.function_call")
            name = string(entry.get("name"), f"{where}.function_call.name")
            self.calls.append(Call(name, name, mapping(entry.get("args") or {}, f"{where}.args")))
        elif result is not None:
            self._result(mapping(result, f"{where}.function_response"), where)
        else:
            raise BadRequest(
                f"* GenerateContentRequest.{where}.data: required oneof field 'data' "
                "must have one initialized field\n"
            )

    def _blob(self, data: Json, where: str) -> None:
        media_type = string(pick(data, "mimeType"), f"{where}.inline_data.mime_type")
        size = data_size(string(data.get("data"), f"{where}.inline_data.data"))
        if media_type.startswith("image/"):
            self.images.append(Image(media_type[:100], size))

    def _file(self, file: Json, where: str) -> None:
        media_type = string(pick(file, "mimeType") or "image/*", f"{where}.file_data.mime_type")
        if media_type.startswith("image/"):
            self.images.append(Image(media_type[:100], None))

    def _result(self, result: Json, where: str) -> None:
        name = string(result.get("name"), f"{where}.function_response.name")
        response = mapping(result.get("response") or {}, f"{where}.function_response.response")
        only = next(iter(response.values())) if len(response) == 1 else response
        self.results.append(
            Message("tool", only if isinstance(only, str) else dumps(only), tool=name)
        )
