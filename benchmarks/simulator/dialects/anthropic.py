"""The Anthropic dialect: messages, count_tokens, models.

Sources: https://docs.claude.com/en/api/messages, https://docs.claude.com/en/docs/build-with-claude/streaming
and the types of anthropic 2.12.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.simulator.dialects import anthropic_input
from benchmarks.simulator.dialects.anthropic_errors import error, headers
from benchmarks.simulator.dialects.base import (
    AT_ONCE,
    Action,
    Dialect,
    Frame,
    Generation,
    Request,
    grouped,
    known_model,
    unique,
)
from benchmarks.simulator.models import ANTHROPIC, Model
from benchmarks.simulator.plan import THOUGHT
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.prompt import Answer, Part, Prompt
from benchmarks.simulator.shapes import BadRequest, Json, encode, parse_object
from benchmarks.simulator.tokens import count_prompt

STOP = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
}
SIGNATURE = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="


def key(headers: dict[str, str], query: dict[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key", "").strip() or bearer


def route(request: Request) -> Action:
    """What the request asks for. Raises Problem or BadRequest."""
    if not request.headers.get("anthropic-version"):
        raise BadRequest("anthropic-version: header is required")
    path = request.path.rstrip("/")
    if path == "/v1/models" or path.startswith("/v1/models/"):
        _only("GET", request)
        return _models(path.removeprefix("/v1/models").lstrip("/"))
    if path not in ("/v1/messages", "/v1/messages/count_tokens"):
        raise Problem("no_path")
    _only("POST", request)
    body = parse_object(request.body)
    counting = path.endswith("/count_tokens")
    prompt = anthropic_input.read(body, need_max_tokens=not counting)
    model = known_model(ANTHROPIC, prompt.model)
    if counting:
        return Reply({"input_tokens": count_prompt(prompt)})
    return Generation(prompt, model, MessageVoice(prompt, model))


def _only(method: str, request: Request) -> None:
    if request.method != method:
        raise Problem("no_method")


def _models(name: str) -> Reply:
    if name:
        return Reply(_model(known_model(ANTHROPIC, name)))
    data = [_model(m) for m in ANTHROPIC.models]
    first, last = data[0]["id"], data[-1]["id"]
    return Reply({"data": data, "has_more": False, "first_id": first, "last_id": last})


def _model(model: Model) -> Json:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.label,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": model.context,
        "max_tokens": 64_000,
    }


class MessageVoice:
    """Writes one message, whole or as events."""

    def __init__(self, prompt: Prompt, model: Model) -> None:
        self.thinks = prompt.thinking
        self.common: Json = {
            "id": unique("msg_", 24),
            "type": "message",
            "role": "assistant",
            "model": model.served,
        }

    def whole(self, answer: Answer) -> Json:
        blocks = [{"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}]
        shown = self.thinks and answer.reasoning > 0
        return {
            **self.common,
            "content": (blocks if shown else []) + [_block(p) for p in answer.parts if p.pieces],
            **_ending(answer),
            "usage": usage(answer),
        }

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        yield AT_ONCE, self._start(answer)
        ping = _event("ping")
        index, at = 0, 0
        if self.thinks and answer.reasoning:
            yield from _thinking()
            index = 1
        for part in answer.parts:
            opened = AT_ONCE if index == 0 and part.call is None else at
            yield opened, _event("content_block_start", index=index, content_block=_empty(part))
            if ping:
                yield opened, ping
                ping = b""
            yield from _deltas(part, index, at, chunk)
            at += len(part.pieces)
            yield at - 1, _event("content_block_stop", index=index)
            index += 1
        yield at, _event("message_delta", delta=_ending(answer), usage=_final_usage(answer))
        yield at, _event("message_stop")

    def error_frame(self) -> bytes:
        return b"event: error\ndata: " + encode(error(Problem("overloaded"), "").body) + b"\n\n"

    def garbage_frame(self) -> bytes:
        return b'event: content_block_delta\ndata: {"type":"content_block_delta",\n\n'

    def _start(self, answer: Answer) -> bytes:
        counts = {**usage(answer), "output_tokens": 1}
        counts.pop("output_tokens_details")
        ends = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
        return _event(
            "message_start", message={**self.common, "content": [], **ends, "usage": counts}
        )


def _thinking() -> Iterator[Frame]:
    empty = {"type": "thinking", "thinking": "", "signature": ""}
    yield 0, _event("content_block_start", index=0, content_block=empty)
    for delta in (
        {"type": "thinking_delta", "thinking": THOUGHT},
        {"type": "signature_delta", "signature": SIGNATURE},
    ):
        yield 0, _event("content_block_delta", index=0, delta=delta)
    yield 0, _event("content_block_stop", index=0)


def _deltas(part: Part, index: int, first: int, chunk: int) -> Iterator[Frame]:
    if part.call is not None:  # Anthropic opens a tool's input with an empty fragment
        empty = {"type": "input_json_delta", "partial_json": ""}
        yield first, _event("content_block_delta", index=index, delta=empty)
    for at, text in grouped(part.pieces, first, chunk):
        delta = {"type": "text_delta", "text": text}
        if part.call is not None:
            delta = {"type": "input_json_delta", "partial_json": text}
        yield at, _event("content_block_delta", index=index, delta=delta)


def _event(kind: str, **values: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **values}) + b"\n\n"


def _empty(part: Part) -> Json:
    return _block(Part((), part.call))


def _block(part: Part) -> Json:
    if part.call is None:
        return {"type": "text", "text": part.text}
    arguments = part.call.arguments if part.is_complete else {}
    return {
        "type": "tool_use",
        "id": f"toolu_{part.call.id}",
        "name": part.call.name,
        "input": arguments,
    }


def _ending(answer: Answer) -> Json:
    refused = {"type": "refusal", "category": None, "explanation": None}
    return {
        "stop_reason": STOP[answer.finish],
        "stop_sequence": answer.stop_sequence,
        "stop_details": refused if answer.finish == "refusal" else None,
    }


def usage(answer: Answer) -> Json:
    """Cached tokens are not inside input_tokens; thinking tokens are inside output_tokens."""
    return {
        "input_tokens": answer.input - answer.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output + answer.reasoning,
        "output_tokens_details": {"thinking_tokens": answer.reasoning},
        "service_tier": "standard",
    }


def _final_usage(answer: Answer) -> Json:
    """In message_delta: cumulative, without the parts that never change."""
    left_out = ("cache_creation", "service_tier")
    return {name: value for name, value in usage(answer).items() if name not in left_out}


DIALECT = Dialect("anthropic", key, route, error, headers)
