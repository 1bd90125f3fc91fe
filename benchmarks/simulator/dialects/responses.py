"""OpenAI's Responses API: the request, the response object and its stream of events.

Sources: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming; types of openai 3.54.
Nothing is stored: `previous_response_id` is accepted and ignored.
"""

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.simulator.dialects import openai_input
from benchmarks.simulator.dialects.base import (
    AT_ONCE,
    Frame,
    Generation,
    grouped,
    known_model,
    unique,
)
from benchmarks.simulator.models import OPENAI, Model
from benchmarks.simulator.prompt import Answer, Call, Message, Part, Prompt
from benchmarks.simulator.shapes import (
    BadRequest,
    Json,
    encode,
    flag,
    items,
    mapping,
    string,
    whole,
)

INCOMPLETE = {"length": "max_output_tokens", "refusal": "content_filter"}


def generation(body: Json) -> Generation:
    """What a POST to /responses asks for. Raises Problem or BadRequest."""
    prompt = _read(body)
    model = known_model(OPENAI, prompt.model)
    return Generation(prompt, model, ResponseVoice(prompt, model, body))


def _read(body: Json) -> Prompt:
    system, messages = _input(body)
    form = mapping(body.get("text") or {}, "text").get("format")
    schema, wants_json = openai_input.response_format(form, "text.format")
    return Prompt(
        model=openai_input.model_name(body),
        messages=messages,
        system=system,
        tools=tuple(
            openai_input.function_tool(mapping(tool, "tools"), f"tools[{at}]")
            for at, tool in enumerate(items(body.get("tools") or [], "tools"))
            if mapping(tool, "tools").get("type") == "function"
        ),
        tool_choice=openai_input.tool_choice(body.get("tool_choice")),
        parallel=flag(body.get("parallel_tool_calls"), "parallel_tool_calls", True),
        max_tokens=whole(body.get("max_output_tokens"), "max_output_tokens"),
        wants_json=wants_json,
        schema=schema,
        stream=flag(body.get("stream"), "stream"),
    )


def _input(body: Json) -> tuple[str, tuple[Message, ...]]:
    given = body.get("input")
    if given is None:
        raise BadRequest("Missing required parameter: 'input'.", "input")
    entries = [{"role": "user", "content": given}] if isinstance(given, str) else given
    system = [string(body.get("instructions") or "", "instructions")]
    messages: list[Message] = []
    names: dict[str, str] = {}
    for at, entry in enumerate(items(entries, "input")):
        message = _item(mapping(entry, f"input[{at}]"), f"input[{at}]", names)
        if message and message.role == "system":
            system.append(message.text)
        elif message:
            messages.append(message)
    return "\n".join(filter(None, system)), tuple(messages)


def _item(entry: Json, where: str, names: dict[str, str]) -> Message | None:
    kind = entry.get("type", "message")
    if kind == "function_call":
        call_id = string(entry.get("call_id"), f"{where}.call_id")
        names[call_id] = string(entry.get("name"), f"{where}.name")
        call = Call(call_id, names[call_id], openai_input.arguments(entry))
        return Message("assistant", calls=(call,))
    if kind == "function_call_output":
        name = names.get(string(entry.get("call_id"), f"{where}.call_id"))
        if name is None:
            raise BadRequest(f"No tool call found for function call output at {where}.", "input")
        text, _ = openai_input.content(entry.get("output"), f"{where}.output")
        return Message("tool", text, tool=name)
    if kind != "message":
        return None
    role = string(entry.get("role"), f"{where}.role")
    text, images = openai_input.content(entry.get("content"), f"{where}.content")
    if role not in ("user", "assistant", "system", "developer"):
        raise BadRequest(f"Invalid value: '{role[:40]}'.", f"{where}.role")
    return Message("system" if role == "developer" else role, text, images)


class ResponseVoice:
    """Writes one response, whole or as events; every event has a sequence number."""

    def __init__(self, prompt: Prompt, model: Model, body: Json) -> None:
        self.prompt, self.number = prompt, -1
        self.common: Json = {
            "id": unique("resp_", 48),
            "object": "response",
            "created_at": int(time.time()),
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": prompt.max_tokens,
            "metadata": {},
            "model": model.served,
            "parallel_tool_calls": prompt.parallel,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": body.get("tools") or [],
            "top_p": 1.0,
            "truncation": "disabled",
        }

    def whole(self, answer: Answer) -> Json:
        return self._final(answer, [_item_of(part, "completed") for part in answer.parts])

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        pending = {**self.common, "status": "in_progress", "output": [], "usage": None}
        yield AT_ONCE, self._event("response.created", response=pending)
        yield AT_ONCE, self._event("response.in_progress", response=pending)
        at = 0
        done: list[Json] = []
        for index, part in enumerate(answer.parts):
            item = _item_of(part, "completed")
            write = self._call if part.call else self._message
            yield from write(part, item, index, at, chunk)
            done.append(item)
            at += len(part.pieces)
        final = self._final(answer, done)
        yield at, self._event(f"response.{final['status']}", response=final)

    def error_frame(self) -> bytes:
        message = "The server had an error processing your request. Sorry about that!"
        return self._event("error", code="server_error", message=message, param=None)

    def garbage_frame(self) -> bytes:
        return b'event: response.created\ndata: {"type":"response.created",\n\n'

    def _message(
        self, part: Part, item: Json, index: int, first: int, chunk: int
    ) -> Iterator[Frame]:
        where = {"item_id": item["id"], "output_index": index, "content_index": 0}
        empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        started = {**item, "status": "in_progress", "content": []}
        opened = AT_ONCE if first == 0 else first
        yield opened, self._event("response.output_item.added", output_index=index, item=started)
        yield opened, self._event("response.content_part.added", part=empty, **where)
        last = first
        for last, text in grouped(part.pieces, first, chunk):
            yield last, self._event("response.output_text.delta", delta=text, logprobs=[], **where)
        done = self._event("response.output_text.done", text=part.text, logprobs=[], **where)
        yield last, done
        full = {**empty, "text": part.text}
        yield last, self._event("response.content_part.done", part=full, **where)
        yield last, self._event("response.output_item.done", output_index=index, item=item)

    def _call(self, part: Part, item: Json, index: int, first: int, chunk: int) -> Iterator[Frame]:
        where = {"item_id": item["id"], "output_index": index}
        started = {**item, "status": "in_progress", "arguments": ""}
        yield first, self._event("response.output_item.added", output_index=index, item=started)
        name = "response.function_call_arguments"
        last = first
        for last, text in grouped(part.pieces, first, chunk):
            yield last, self._event(f"{name}.delta", delta=text, **where)
        done = {"name": item["name"], "arguments": part.text}
        yield last, self._event(f"{name}.done", **done, **where)
        yield last, self._event("response.output_item.done", output_index=index, item=item)

    def _final(self, answer: Answer, output: list[Json]) -> Json:
        reason = INCOMPLETE.get(answer.finish)
        return {
            **self.common,
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "completed_at": None if reason else int(time.time()),
            "output": output,
            "usage": _usage(answer),
        }

    def _event(self, kind: str, **values: Any) -> bytes:
        self.number += 1
        event = {"type": kind, "sequence_number": self.number, **values}
        return b"event: " + kind.encode() + b"\ndata: " + encode(event) + b"\n\n"


def _item_of(part: Part, status: str) -> Json:
    if part.call is not None:
        return {
            "id": unique("fc_", 48),
            "type": "function_call",
            "status": status,
            "arguments": part.text,
            "call_id": f"call_{part.call.id}",
            "name": part.call.name,
        }
    content = {"type": "output_text", "annotations": [], "logprobs": [], "text": part.text}
    return {
        "id": unique("msg_", 48),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [content],
    }


def _usage(answer: Answer) -> Json:
    output = answer.output + answer.reasoning
    return {
        "input_tokens": answer.input,
        "input_tokens_details": {"cached_tokens": answer.cached, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning},
        "total_tokens": answer.input + output,
    }
