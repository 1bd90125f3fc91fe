"""Reads OpenAI's chat completion requests.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

import json
import re
from typing import Any

from benchmarks.simulator.dialects.base import linked_image
from benchmarks.simulator.prompt import Call, Image, Message, Prompt, Tool
from benchmarks.simulator.shapes import (
    BadRequest,
    Json,
    flag,
    items,
    mapping,
    string,
    strings,
    whole,
)

REASONING = re.compile(r"(o\d|gpt-[5-9])(?!.*-chat)")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}$")
ORPHAN_RESULT = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
    "with 'tool_calls'."
)
UNANSWERED_CALL = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: {ids}"
)


def read(body: Json) -> Prompt:
    """The neutral prompt of a chat completion request. Raises BadRequest."""
    system, messages = _messages(body)
    schema, wants_json = response_format(body.get("response_format"), "response_format")
    tools = tuple(
        _tool(t, f"tools[{i}]") for i, t in enumerate(items(body.get("tools") or [], "tools"))
    )
    options = mapping(body.get("stream_options") or {}, "stream_options")
    return Prompt(
        model=model_name(body),
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=tool_choice(body.get("tool_choice")),
        parallel=flag(body.get("parallel_tool_calls"), "parallel_tool_calls", True),
        max_tokens=_max_tokens(body),
        stop=strings(body.get("stop"), "stop"),
        wants_json=wants_json,
        schema=schema,
        stream=flag(body.get("stream"), "stream"),
        include_usage=flag(options.get("include_usage"), "stream_options.include_usage"),
    )


def model_name(body: Json) -> str:
    if not body.get("model"):
        raise BadRequest("you must provide a model parameter")
    return string(body["model"], "model")


def _max_tokens(body: Json) -> int | None:
    if body.get("max_tokens") is not None and REASONING.match(str(body.get("model"))):
        raise BadRequest(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
        )
    for name in ("max_completion_tokens", "max_tokens"):
        if body.get(name) is not None:
            return whole(body[name], name)
    return None


def _messages(body: Json) -> tuple[str, tuple[Message, ...]]:
    if "messages" not in body:
        raise BadRequest("Missing required parameter: 'messages'.", "messages")
    raw = items(body["messages"], "messages")
    if not raw:
        raise BadRequest("Invalid 'messages': empty array.", "messages")
    system: list[str] = []
    messages: list[Message] = []
    open_calls: dict[str, str] = {}
    for at, entry in enumerate(raw):
        where = f"messages[{at}]"
        message = _message(mapping(entry, where), where, open_calls)
        if message.role == "system":
            system.append(message.text)
        else:
            messages.append(message)
    _require_answered(open_calls)
    return "\n".join(system), tuple(messages)


def _message(entry: Json, where: str, open_calls: dict[str, str]) -> Message:
    role = string(entry.get("role"), f"{where}.role")
    text, images = content(entry.get("content"), f"{where}.content", required=role != "assistant")
    if role in ("tool", "function"):
        return _result(entry, where, text, open_calls)
    _require_answered(open_calls)
    if role in ("system", "developer"):
        return Message("system", text)
    if role == "user":
        return Message("user", text, images)
    if role != "assistant":
        raise BadRequest(
            f"Invalid value: '{role[:40]}'. Supported values are: 'system', "
            "'assistant', 'user', 'function', 'tool', and 'developer'.",
            f"{where}.role",
        )
    calls = tuple(
        _call(c, where) for c in items(entry.get("tool_calls") or [], f"{where}.tool_calls")
    )
    open_calls.update({call.id: call.name for call in calls})
    return Message("assistant", text, images, calls)


def _result(entry: Json, where: str, text: str, open_calls: dict[str, str]) -> Message:
    if entry["role"] == "function":
        return Message("tool", text, tool=str(entry.get("name", ""))[:64])
    name = open_calls.pop(string(entry.get("tool_call_id"), f"{where}.tool_call_id"), None)
    if name is None:
        raise BadRequest(ORPHAN_RESULT, f"{where}.role")
    return Message("tool", text, tool=name)


def _require_answered(open_calls: dict[str, str]) -> None:
    if open_calls:
        raise BadRequest(UNANSWERED_CALL.format(ids=", ".join(open_calls)), "messages")


def content(value: Any, where: str, required: bool = True) -> tuple[str, tuple[Image, ...]]:
    """Text and images of a message: a string, or a list of parts (chat's or Responses')."""
    if isinstance(value, str):
        return value, ()
    if value is None and not required:
        return "", ()
    texts: list[str] = []
    images: list[Image] = []
    for at, part in enumerate(items(value, where)):
        _part(mapping(part, f"{where}[{at}]"), f"{where}[{at}]", texts, images)
    return "\n".join(texts), tuple(images)


def _part(part: Json, where: str, texts: list[str], images: list[Image]) -> None:
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text"):
        texts.append(string(part.get("text"), f"{where}.text"))
    elif kind == "refusal":
        texts.append(string(part.get("refusal"), f"{where}.refusal"))
    elif kind == "image_url":
        link = mapping(part.get("image_url"), f"{where}.image_url")
        images.append(linked_image(string(link.get("url"), f"{where}.image_url.url")))
    elif kind == "input_image":
        images.append(linked_image(string(part.get("image_url"), f"{where}.image_url")))
    elif kind not in ("input_audio", "file", "input_file"):
        raise BadRequest(
            f"Invalid value: {kind!r:.60}. Supported values are: 'text', 'image_url', "
            "'input_audio', 'refusal', and 'file'.",
            f"{where}.type",
        )


def _call(value: Any, where: str) -> Call:
    entry = mapping(value, f"{where}.tool_calls")
    function = mapping(entry.get("function"), f"{where}.tool_calls.function")
    name = string(function.get("name"), f"{where}.tool_calls.function.name")
    return Call(string(entry.get("id"), f"{where}.tool_calls.id"), name, arguments(function))


def arguments(function: Json) -> Json:
    """The arguments of a past call; whatever is not a JSON object counts as none."""
    try:
        value = json.loads(string(function.get("arguments") or "{}", "arguments"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _tool(value: Any, where: str) -> Tool:
    entry = mapping(value, where)
    if entry.get("type") == "custom":
        return function_tool(mapping(entry.get("custom"), f"{where}.custom"), where)
    return function_tool(mapping(entry.get("function"), f"{where}.function"), where)


def function_tool(function: Json, where: str) -> Tool:
    """A function declaration: name, description, JSON schema of its parameters."""
    name = string(function.get("name"), f"{where}.function.name")
    if not TOOL_NAME.match(name):
        raise BadRequest(
            f"Invalid '{where}.function.name': string does not match pattern. Expected "
            "a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{where}.function.name",
        )
    description = string(function.get("description") or "", f"{where}.function.description")
    return Tool(name, description, mapping(function.get("parameters") or {}, f"{where}.parameters"))


def tool_choice(value: Any) -> str:
    """auto, none, required or `=name`."""
    if value is None or value in ("auto", "none", "required"):
        return value or "auto"
    entry = mapping(value, "tool_choice")
    if entry.get("type") == "allowed_tools":
        allowed = mapping(entry.get("allowed_tools") or {}, "tool_choice.allowed_tools")
        return "required" if allowed.get("mode") == "required" else "auto"
    function = mapping(entry.get("function", entry), "tool_choice.function")
    return "=" + string(function.get("name"), "tool_choice.function.name")


def response_format(value: Any, where: str) -> tuple[Json | None, bool]:
    """(schema, wants JSON) of response_format (chat) or text.format (Responses)."""
    entry = mapping(value or {}, where)
    kind = entry.get("type", "text")
    if kind == "json_schema":
        holder = mapping(entry.get("json_schema", entry), f"{where}.json_schema")
        return mapping(holder.get("schema") or {}, f"{where}.json_schema.schema"), True
    if kind not in ("text", "json_object"):
        raise BadRequest(
            f"Invalid value: {kind!r:.60}. Supported values are: 'json_object', "
            "'json_schema', and 'text'.",
            f"{where}.type",
        )
    return None, kind == "json_object"
