"""The Gemini dialect: generateContent, streamGenerateContent, countTokens, embeddings, models.

Sources: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/models and the types
of google-genai 3.4. Events end in CRLF CRLF, as Google's do.
"""

import re
from collections.abc import Iterator
from typing import Any

from benchmarks.simulator.dialects import google_input
from benchmarks.simulator.dialects.base import (
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
from benchmarks.simulator.dialects.google_errors import error, headers
from benchmarks.simulator.models import GOOGLE, Model
from benchmarks.simulator.plan import THOUGHT
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.prompt import Answer, Part, Prompt
from benchmarks.simulator.shapes import Json, encode, items, mapping, parse_object, whole
from benchmarks.simulator.tokens import count, count_prompt

FINISH = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "refusal": "SAFETY",
}
METHODS = ["generateContent", "countTokens", "streamGenerateContent"]
_ACTION = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+)(?::(\w+))?/?$")
_LIST = re.compile(r"/v1(?:beta|alpha)?/models/?$")


def key(headers: dict[str, str], query: dict[str, str]) -> str:
    return (headers.get("x-goog-api-key") or query.get("key") or "").strip()


def route(request: Request) -> Action:
    """What the request asks for. Raises Problem or BadRequest."""
    if _LIST.match(request.path) and request.method == "GET":
        return Reply({"models": [_model(model) for model in GOOGLE.models]})
    match = _ACTION.match(request.path)
    if not match:
        raise Problem("no_path")
    model = known_model(GOOGLE, match[1], version=request.path.split("/")[1])
    if match[2] is None and request.method == "GET":
        return Reply(_model(model))
    if request.method != "POST":
        raise Problem("no_method")
    return _act(match[2] or "", model, parse_object(request.body), request)


def _act(name: str, model: Model, body: Json, request: Request) -> Action:
    if name == "countTokens":
        return _count(body, model)
    if name == "embedContent":
        return Reply({"embedding": _embedding(body)})
    if name == "batchEmbedContents":
        requests = items(body.get("requests"), "requests")[:100]
        return Reply({"embeddings": [_embedding(mapping(r, "requests")) for r in requests]})
    if name not in ("generateContent", "streamGenerateContent"):
        raise Problem("no_path")
    prompt = google_input.read(body, model.id, stream=name.startswith("stream"))
    if not prompt.stream or request.query.get("alt") == "sse":
        return Generation(prompt, model, ContentVoice(prompt, model), "text/event-stream")
    return Generation(prompt, model, ArrayVoice(prompt, model), "application/json; charset=UTF-8")


def _count(body: Json, model: Model) -> Reply:
    inner = google_input.pick(body, "generateContentRequest")
    request = body if inner is None else mapping(inner, "generate_content_request")
    total = count_prompt(google_input.read(request, model.id, stream=False))
    detail = [{"modality": "TEXT", "tokenCount": total}]
    return Reply({"totalTokens": total, "promptTokensDetails": detail})


def _embedding(body: Json) -> Json:
    content = mapping(body.get("content"), "content")
    parts = [
        mapping(part, "content.parts") for part in items(content.get("parts"), "content.parts")
    ]
    text = "\n".join(str(part.get("text", "")) for part in parts)
    size = whole(google_input.pick(body, "outputDimensionality"), "output_dimensionality") or 768
    return {"values": vector(text, min(size, 3072)), "statistics": {"tokenCount": count(text)}}


def _model(model: Model) -> Json:
    embeds = "embedding" in model.id
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.label,
        "description": "Simulated by BYOM",
        "inputTokenLimit": model.context,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["embedContent"] if embeds else METHODS,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
    }


class ContentVoice:
    """Writes one response, whole or as a sequence of partial responses."""

    def __init__(self, prompt: Prompt, model: Model) -> None:
        self.thinks = prompt.thinking
        self.common: Json = {"modelVersion": model.served, "responseId": unique("sim", 22)}

    def whole(self, answer: Answer) -> Json:
        parts = [_part(part) for part in answer.parts if part.pieces]
        return self._response(self._thoughts(answer) + parts, answer, FINISH[answer.finish])

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        """The finish reason is in the last content event, which leaves when the answer ends."""
        events = list(self._events(answer, chunk)) or [(0, 0, [])]
        for number, (at, so_far, parts) in enumerate(events):
            last = number == len(events) - 1
            finish = FINISH[answer.finish] if last else None
            event = self._response(parts, answer, finish, so_far)
            yield max(answer.output - 1, 0) if last else at, self._framed(event)

    def error_frame(self) -> bytes:
        return self._framed(error(Problem("overloaded"), "").body)

    def garbage_frame(self) -> bytes:
        return b'data: {"candidates":[{"content":\r\n\r\n'

    def _framed(self, event: Json) -> bytes:
        return b"data: " + encode(event) + b"\r\n\r\n"

    def _events(self, answer: Answer, chunk: int) -> Iterator[tuple[int, int, list[Json]]]:
        """(index, output tokens so far, parts) of each event; a call is one whole part."""
        at = 0
        thoughts = self._thoughts(answer)
        if thoughts:
            yield 0, 0, thoughts
        for part in answer.parts:
            size = len(part.pieces)
            if part.call is not None:
                yield at + size - 1, at + size, [_part(part)]
            else:
                for index, text in grouped(part.pieces, at, chunk):
                    yield index, min(index + max(chunk, 1), at + size), [{"text": text}]
            at += size

    def _thoughts(self, answer: Answer) -> list[Json]:
        return [{"text": THOUGHT, "thought": True}] if self.thinks and answer.reasoning else []

    def _response(
        self, parts: list[Json], answer: Answer, finish: str | None, so_far: int | None = None
    ) -> Json:
        candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if not parts:
            candidate.pop("content")
        if finish:
            candidate["finishReason"] = finish
        if answer.finish == "refusal":
            candidate["safetyRatings"] = [_BLOCKED]
        counts = usage(answer, answer.output if so_far is None else so_far)
        return {"candidates": [candidate], "usageMetadata": counts, **self.common}


class ArrayVoice(ContentVoice):
    """Without `alt=sse` the stream is one JSON array that grows."""

    def __init__(self, prompt: Prompt, model: Model) -> None:
        super().__init__(prompt, model)
        self.opening = b"["

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        yield from super().frames(answer, chunk)
        yield answer.output, b"\n]\n"

    def garbage_frame(self) -> bytes:
        return b'[{"candidates":[{"content":'

    def _framed(self, event: Json) -> bytes:
        opening, self.opening = self.opening, b"\n,\r\n"
        return opening + encode(event)


_BLOCKED = {
    "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
    "probability": "HIGH",
    "blocked": True,
}


def _part(part: Part) -> Json:
    if part.call is None:
        return {"text": part.text}
    arguments = part.call.arguments if part.is_complete else {}
    return {"functionCall": {"name": part.call.name, "args": arguments}}


def usage(answer: Answer, output: int) -> Json:
    """Cached tokens are inside promptTokenCount; thoughts are not inside candidatesTokenCount."""
    counts: dict[str, Any] = {
        "promptTokenCount": answer.input,
        "candidatesTokenCount": output,
        "totalTokenCount": answer.input + output + answer.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input}],
    }
    if answer.cached:
        counts["cachedContentTokenCount"] = answer.cached
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": answer.cached}]
    if answer.reasoning:
        counts["thoughtsTokenCount"] = answer.reasoning
    return counts


DIALECT = Dialect("google", key, route, error, headers, refuses_in_words=False)
