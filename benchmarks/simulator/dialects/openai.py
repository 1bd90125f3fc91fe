"""The OpenAI dialect: chat completions, models, embeddings; Responses are in `responses`.

Sources: https://platform.openai.com/docs/api-reference/chat/object,
https://platform.openai.com/docs/api-reference/chat-streaming and the types of openai 3.54.
"""

import base64
import struct
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.simulator.dialects import openai_input, responses
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
    vector,
)
from benchmarks.simulator.dialects.openai_errors import error, headers
from benchmarks.simulator.models import OPENAI, Model
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.prompt import Answer, Part, Prompt
from benchmarks.simulator.shapes import BadRequest, Json, encode, items, parse_object, string, whole
from benchmarks.simulator.tokens import count

FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
}
DONE = b"data: [DONE]\n\n"
VECTOR_SIZES = {"text-embedding-3-large": 3072}


def key(headers: dict[str, str], query: dict[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def route(request: Request) -> Action:
    """What the request asks for. Raises Problem or BadRequest."""
    path = request.path.rstrip("/")
    if path == "/models" or path.startswith("/models/"):
        _only("GET", request)
        return _models(path.removeprefix("/models").lstrip("/"))
    endpoints = {
        "/chat/completions": _chat,
        "/responses": responses.generation,
        "/embeddings": _embeddings,
    }
    if path not in endpoints:
        raise Problem("no_path", method=request.method, path=request.path[:200])
    _only("POST", request)
    return endpoints[path](parse_object(request.body))


def _only(method: str, request: Request) -> None:
    if request.method != method:
        raise Problem("no_method", method=request.method, path=request.path[:200])


def _chat(body: Json) -> Action:
    prompt = openai_input.read(body)
    model = known_model(OPENAI, prompt.model)
    return Generation(prompt, model, ChatVoice(prompt, model))


def _models(name: str) -> Reply:
    if not name:
        return Reply({"object": "list", "data": [_model(m) for m in OPENAI.models]})
    return Reply(_model(known_model(OPENAI, name)))


def _model(model: Model) -> Json:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "system"}


def _embeddings(body: Json) -> Reply:
    name = openai_input.model_name(body)
    known_model(OPENAI, name)
    words = _embedded(body.get("input"))
    size = whole(body.get("dimensions"), "dimensions") or VECTOR_SIZES.get(name, 1536)
    form = body.get("encoding_format", "float")
    data = [
        {"object": "embedding", "index": i, "embedding": _vector(text, min(size, 3072), form)}
        for i, text in enumerate(words)
    ]
    total = sum(map(count, words))
    usage = {"prompt_tokens": total, "total_tokens": total}
    return Reply({"object": "list", "data": data, "model": name, "usage": usage})


def _embedded(given: Any) -> list[str]:
    """One text or several; tokens given as numbers stand for themselves."""
    if isinstance(given, str):
        return [given]
    entries = items(given, "input")
    if entries and all(isinstance(entry, int) for entry in entries):
        entries = [entries]
    if not 0 < len(entries) <= 2048:
        raise BadRequest("'input' must have 1 to 2048 entries.", "input")
    return [str(e) if isinstance(e, list) else string(e, "input") for e in entries]


def _vector(text: str, size: int, form: Any) -> list[float] | str:
    values = vector(text, size)
    if form != "base64":
        return values
    return base64.b64encode(struct.pack(f"<{size}f", *values)).decode()


class ChatVoice:
    """Writes one chat completion, whole or as chunks."""

    def __init__(self, prompt: Prompt, model: Model) -> None:
        self.prompt = prompt
        self.common: Json = {
            "id": unique("chatcmpl-sim", 26),
            "created": int(time.time()),
            "model": model.served,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated0",
        }

    def whole(self, answer: Answer) -> Json:
        text = answer.text
        message: Json = {
            "role": "assistant",
            "content": None if answer.calls and not text else text,
            "refusal": None,
            "annotations": [],
        }
        calls = [_whole_call(part) for part in answer.parts if part.call]
        if calls:
            message["tool_calls"] = calls
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": FINISH[answer.finish],
        }
        return {
            **self.common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage(answer),
        }

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        opening = {"role": "assistant", "content": None if answer.calls else "", "refusal": None}
        yield AT_ONCE, self._event(opening)
        at, number = 0, 0
        for part in answer.parts:
            if part.call is None:
                yield from self._text(part, at, chunk)
            else:
                yield from self._call(part, number, at, chunk)
                number += 1
            at += len(part.pieces)
        yield at, self._event({}, FINISH[answer.finish])
        if self.prompt.include_usage:
            yield at, self._chunk([], usage(answer))
        yield at, DONE

    def error_frame(self) -> bytes:
        return b"data: " + encode(error(Problem("server"), "").body) + b"\n\n"

    def garbage_frame(self) -> bytes:
        return b'data: {"id":"chatcmpl-sim","choices":[{"delta":\n\n'

    def _text(self, part: Part, first: int, chunk: int) -> Iterator[Frame]:
        for at, text in grouped(part.pieces, first, chunk):
            yield at, self._event({"content": text})

    def _call(self, part: Part, number: int, first: int, chunk: int) -> Iterator[Frame]:
        assert part.call is not None
        function = {"name": part.call.name, "arguments": ""}
        opening = {
            "index": number,
            "id": f"call_{part.call.id}",
            "type": "function",
            "function": function,
        }
        yield first, self._event({"tool_calls": [opening]})
        for at, text in grouped(part.pieces, first, chunk):
            fragment = {"index": number, "function": {"arguments": text}}
            yield at, self._event({"tool_calls": [fragment]})

    def _event(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._chunk([choice], None)

    def _chunk(self, choices: list[Json], usage: Json | None) -> bytes:
        event = {**self.common, "object": "chat.completion.chunk", "choices": choices}
        if self.prompt.include_usage:
            event["usage"] = usage
        return b"data: " + encode(event) + b"\n\n"


def _whole_call(part: Part) -> Json:
    assert part.call is not None
    function = {"name": part.call.name, "arguments": part.text}
    return {"id": f"call_{part.call.id}", "type": "function", "function": function}


def usage(answer: Answer) -> Json:
    """Cached and reasoning tokens are inside the totals, as OpenAI counts them."""
    output = answer.output + answer.reasoning
    return {
        "prompt_tokens": answer.input,
        "completion_tokens": output,
        "total_tokens": answer.input + output,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


DIALECT = Dialect("openai", key, route, error, headers)
