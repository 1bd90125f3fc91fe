"""Answers, whole and as streams, in the dialect of the client.

A writer makes the body of a whole answer from a `ChatResult`, or the events of a stream: `start`,
`delta` for each piece of text, and `end` with what is known only then (tool calls, the reason to
stop, usage).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from time import time
from typing import ClassVar

from providers.vocabulary import JSON, ChatResult, FinishReason, ToolCall, Usage

_NO_USAGE = Usage()


def event(data: JSON, name: str = "") -> bytes:
    """One server-sent event."""
    line = f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
    return (f"event: {name}\n{line}" if name else line).encode()


@dataclass(slots=True)
class Writer(ABC):
    """Of one answer. `shows_usage` is OpenAI's `stream_options.include_usage`."""

    call_id: str
    model: str
    shows_usage: bool = False

    @abstractmethod
    def whole(self, result: ChatResult) -> JSON: ...

    def start(self) -> Iterator[bytes]:
        yield from ()

    @abstractmethod
    def delta(self, text: str) -> Iterator[bytes]: ...

    @abstractmethod
    def end(self, result: ChatResult) -> Iterator[bytes]: ...


class OpenAIWriter(Writer):
    """https://platform.openai.com/docs/api-reference/chat/object, and /streaming beside it."""

    finish: ClassVar = {
        FinishReason.STOP: "stop",
        FinishReason.LENGTH: "length",
        FinishReason.TOOL_CALLS: "tool_calls",
        FinishReason.REFUSED: "content_filter",
        FinishReason.OTHER: "stop",
    }

    def whole(self, result: ChatResult) -> JSON:
        message: JSON = {"role": "assistant", "content": result.text or None, "refusal": None}
        if result.tool_calls:
            message["tool_calls"] = [_openai_call(call) for call in result.tool_calls]
        choice = {"index": 0, "message": message, "logprobs": None}
        choice["finish_reason"] = self.finish[result.finish_reason]
        usage = _openai_usage(result.usage or _NO_USAGE)
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage}

    def start(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def delta(self, text: str) -> Iterator[bytes]:
        yield self._chunk({"content": text})

    def end(self, result: ChatResult) -> Iterator[bytes]:
        for index, call in enumerate(result.tool_calls):
            yield self._chunk({"tool_calls": [{"index": index, **_openai_call(call)}]})
        yield self._chunk({}, self.finish[result.finish_reason])
        if self.shows_usage:
            usage = _openai_usage(result.usage or _NO_USAGE)
            yield event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: JSON, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> JSON:
        created = int(time())
        return {"id": f"chatcmpl-{self.call_id}", "object": kind, "created": created,
                "model": self.model}  # fmt: skip


def _openai_call(call: ToolCall) -> JSON:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def _openai_usage(usage: Usage) -> JSON:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class AnthropicWriter(Writer):
    """https://platform.claude.com/docs/en/api/messages, and /messages-streaming beside it."""

    finish: ClassVar = {
        FinishReason.STOP: "end_turn",
        FinishReason.LENGTH: "max_tokens",
        FinishReason.TOOL_CALLS: "tool_use",
        FinishReason.REFUSED: "refusal",
        FinishReason.OTHER: "end_turn",
    }

    def whole(self, result: ChatResult) -> JSON:
        blocks: list[JSON] = [{"type": "text", "text": result.text}] if result.text else []
        blocks += [_anthropic_call(call, call.arguments) for call in result.tool_calls]
        usage = _anthropic_usage(result.usage or _NO_USAGE)
        stop = self.finish[result.finish_reason]
        return {**self._head(), "content": blocks, "stop_reason": stop, "usage": usage}

    def start(self) -> Iterator[bytes]:
        message = {**self._head(), "content": [], "usage": _anthropic_usage(_NO_USAGE)}
        yield event({"type": "message_start", "message": message}, "message_start")
        yield from self._block(0, {"type": "text", "text": ""})

    def delta(self, text: str) -> Iterator[bytes]:
        yield from self._delta(0, {"type": "text_delta", "text": text})

    def end(self, result: ChatResult) -> Iterator[bytes]:
        yield self._stop(0)
        for index, call in enumerate(result.tool_calls, start=1):
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            yield from self._block(index, _anthropic_call(call, {}))
            yield from self._delta(index, {"type": "input_json_delta", "partial_json": arguments})
            yield self._stop(index)
        stop = {"stop_reason": self.finish[result.finish_reason], "stop_sequence": None}
        usage = _anthropic_usage(result.usage or _NO_USAGE)
        yield event({"type": "message_delta", "delta": stop, "usage": usage}, "message_delta")
        yield event({"type": "message_stop"}, "message_stop")

    def _block(self, index: int, block: JSON) -> Iterator[bytes]:
        kind = "content_block_start"
        yield event({"type": kind, "index": index, "content_block": block}, kind)

    def _delta(self, index: int, delta: JSON) -> Iterator[bytes]:
        kind = "content_block_delta"
        yield event({"type": kind, "index": index, "delta": delta}, kind)

    def _stop(self, index: int) -> bytes:
        return event({"type": "content_block_stop", "index": index}, "content_block_stop")

    def _head(self) -> JSON:
        return {"id": f"msg_{self.call_id}", "type": "message", "role": "assistant",
                "model": self.model, "stop_reason": None, "stop_sequence": None}  # fmt: skip


def _anthropic_call(call: ToolCall, arguments: JSON) -> JSON:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _anthropic_usage(usage: Usage) -> JSON:
    """Cache tokens are not among the input's there."""
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    return {
        "input_tokens": usage.input_tokens - cached,
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }


class GoogleWriter(Writer):
    """https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse"""

    finish: ClassVar = {
        FinishReason.STOP: "STOP",
        FinishReason.LENGTH: "MAX_TOKENS",
        FinishReason.TOOL_CALLS: "STOP",
        FinishReason.REFUSED: "SAFETY",
        FinishReason.OTHER: "OTHER",
    }

    def whole(self, result: ChatResult) -> JSON:
        parts: list[JSON] = [{"text": result.text}] if result.text else []
        return self._last(parts, result)

    def delta(self, text: str) -> Iterator[bytes]:
        yield event({**self._head(), "candidates": [_candidate([{"text": text}])]})

    def end(self, result: ChatResult) -> Iterator[bytes]:
        yield event(self._last([], result))

    def _last(self, parts: list[JSON], result: ChatResult) -> JSON:
        calls = [
            {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
            for call in result.tool_calls
        ]
        candidate = _candidate([*parts, *calls])
        candidate["finishReason"] = self.finish[result.finish_reason]
        usage = _google_usage(result.usage or _NO_USAGE)
        return {**self._head(), "candidates": [candidate], "usageMetadata": usage}

    def _head(self) -> JSON:
        return {"responseId": self.call_id, "modelVersion": self.model}


def _candidate(parts: list[JSON]) -> JSON:
    return {"content": {"role": "model", "parts": parts}, "index": 0}


def _google_usage(usage: Usage) -> JSON:
    """Thinking is not among the candidates' tokens there."""
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cache_read_tokens,
        "totalTokenCount": usage.total_tokens,
    }
