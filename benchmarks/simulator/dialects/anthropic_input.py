"""Reads Anthropic's Messages requests. Source: https://docs.claude.com/en/api/messages."""

import re
from typing import Any

from benchmarks.simulator.dialects.base import data_size, linked_image
from benchmarks.simulator.prompt import Call, Image, Message, Prompt, Tool
from benchmarks.simulator.shapes import (
    BadRequest,
    Json,
    dumps,
    flag,
    items,
    mapping,
    string,
    strings,
    whole,
)

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}$")
ROLES = ("user", "assistant", "system")
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
IGNORED = {"document", "thinking", "redacted_thinking", "search_result", "server_tool_use"}
UNANSWERED = (
    "messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: "
    "{ids}. Each `tool_use` block must have a corresponding `tool_result` block in the "
    "next message."
)
ORPHAN = (
    "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each "
    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
)


def read(body: Json, need_max_tokens: bool = True) -> Prompt:
    """The neutral prompt of a Messages request. Raises BadRequest."""
    max_tokens = whole(body.get("max_tokens"), "max_tokens")
    if max_tokens is None and need_max_tokens:
        raise BadRequest("max_tokens: Field required")
    choice = mapping(body.get("tool_choice") or {}, "tool_choice")
    schema = _schema(body)
    messages = _messages(items(_required(body, "messages"), "messages"))
    system = [_text(body.get("system") or "", "system")]
    system += [message.text for message in messages if message.role == "system"]
    return Prompt(
        model=string(_required(body, "model"), "model"),
        messages=tuple(message for message in messages if message.role != "system"),
        system="\n".join(filter(None, system)),
        tools=tuple(
            _tool(t, f"tools.{i}") for i, t in enumerate(items(body.get("tools") or [], "tools"))
        ),
        tool_choice=_choice(choice),
        parallel=not flag(choice.get("disable_parallel_tool_use"), "tool_choice"),
        max_tokens=max_tokens,
        stop=strings(body.get("stop_sequences"), "stop_sequences"),
        wants_json=schema is not None,
        schema=schema,
        thinking=mapping(body.get("thinking") or {}, "thinking").get("type")
        in ("enabled", "adaptive"),
        stream=flag(body.get("stream"), "stream"),
    )


def _required(body: Json, name: str) -> Any:
    if body.get(name) is None:
        raise BadRequest(f"{name}: Field required")
    return body[name]


def _schema(body: Json) -> Json | None:
    """`output_config.format`, or `output_format` as the beta had it."""
    config = mapping(body.get("output_config") or {}, "output_config")
    form = mapping(config.get("format") or body.get("output_format") or {}, "output_config.format")
    if not form:
        return None
    if form.get("type") != "json_schema":
        raise BadRequest("output_config.format.type: Input should be 'json_schema'")
    return mapping(form.get("schema"), "output_config.format.schema")


def _choice(choice: Json) -> str:
    kind = choice.get("type", "auto")
    if kind == "tool":
        return "=" + string(choice.get("name"), "tool_choice.name")
    if not isinstance(kind, str) or kind not in CHOICES:
        raise BadRequest("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    return CHOICES[kind]


def _tool(value: Any, where: str) -> Tool:
    entry = mapping(value, where)
    name = string(entry.get("name"), f"{where}.name")
    if not TOOL_NAME.match(name):
        raise BadRequest(f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    description = string(entry.get("description") or "", f"{where}.description")
    schema = (
        {} if "type" in entry and entry["type"] != "custom" else _required(entry, "input_schema")
    )
    return Tool(name, description, mapping(schema, f"{where}.input_schema"))


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    blocks = [mapping(block, where) for block in items(value, where)]
    return "\n".join(
        string(b.get("text"), f"{where}.text") for b in blocks if b.get("type") == "text"
    )


def _messages(raw: list[Any]) -> tuple[Message, ...]:
    if not raw:
        raise BadRequest("messages: at least one message is required")
    messages: list[Message] = []
    open_calls: dict[str, str] = {}
    for at, value in enumerate(raw):
        entry = mapping(value, f"messages.{at}")
        role = string(entry.get("role"), f"messages.{at}.role")
        if role not in ROLES:
            raise BadRequest(f"messages.{at}.role: Input should be 'user', 'assistant' or 'system'")
        blocks = _Blocks(f"messages.{at}.content", at, open_calls)
        blocks.read(entry.get("content"))
        if open_calls:
            raise BadRequest(UNANSWERED.format(at=at - 1, ids=", ".join(open_calls)))
        open_calls = {call.id: call.name for call in blocks.calls}
        messages += blocks.messages(role)
    if open_calls:
        raise BadRequest(UNANSWERED.format(at=len(raw) - 1, ids=", ".join(open_calls)))
    return tuple(messages)


class _Blocks:
    """Sorts the content blocks of one message into text, images, calls and results."""

    def __init__(self, where: str, at: int, open_calls: dict[str, str]) -> None:
        self.where, self.at, self.open_calls = where, at, open_calls
        self.texts: list[str] = []
        self.images: list[Image] = []
        self.calls: list[Call] = []
        self.results: list[Message] = []

    def read(self, content: Any) -> None:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        for number, value in enumerate(items(content, self.where)):
            self._block(mapping(value, f"{self.where}.{number}"), f"{self.where}.{number}")

    def messages(self, role: str) -> list[Message]:
        """Results first, as the API demands, then what was said."""
        text = "\n".join(self.texts)
        if role == "user" and not text and not self.images:
            return self.results
        return [*self.results, Message(role, text, tuple(self.images), tuple(self.calls))]

    def _block(self, block: Json, where: str) -> None:
        kind = block.get("type")
        if kind == "text":
            text = string(block.get("text"), f"{where}.text")
            if not text:
                raise BadRequest("messages: text content blocks must be non-empty")
            self.texts.append(text)
        elif kind == "image":
            self.images.append(_image(mapping(block.get("source"), f"{where}.source"), where))
        elif kind == "tool_use":
            call_id, name = string(block.get("id"), f"{where}.id"), string(block.get("name"), where)
            self.calls.append(Call(call_id, name, mapping(block.get("input"), f"{where}.input")))
        elif kind == "tool_result":
            self._result(block, where)
        elif not isinstance(kind, str) or kind not in IGNORED:
            raise BadRequest(
                f"{where}: Input tag {kind!r:.60} found using 'type' does not match any "
                "of the expected tags"
            )

    def _result(self, block: Json, where: str) -> None:
        call_id = string(block.get("tool_use_id"), f"{where}.tool_use_id")
        if call_id not in self.open_calls:
            raise BadRequest(ORPHAN.format(at=self.at, id=call_id[:80]))
        content = block.get("content") or ""
        text = _text(content, f"{where}.content")
        self.results.append(
            Message("tool", text or dumps(content), tool=self.open_calls.pop(call_id))
        )


def _image(source: Json, where: str) -> Image:
    if source.get("type") == "url":
        return linked_image(string(source.get("url"), f"{where}.source.url"))
    media_type = string(source.get("media_type"), f"{where}.source.media_type")
    return Image(media_type[:100], data_size(string(source.get("data"), f"{where}.source.data")))
