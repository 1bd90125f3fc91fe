"""Anthropic's dialect (Messages).

Wire: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import anthropic

from providers.adapter import Adapter, Opened, SDKErrors
from providers.anthropic_request import write_request
from providers.http import read_json
from providers.vocabulary import (
    JSON,
    ChatRequest,
    ChatResult,
    Delta,
    FinishReason,
    ToolCall,
    Usage,
    tier_of,
)

_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSED,
}


class AnthropicClient(Adapter):
    sdk_errors = SDKErrors(
        timeout=(anthropic.APITimeoutError,),
        connection=(anthropic.APIConnectionError,),
        status=(anthropic.APIError,),
    )

    async def _complete(self, request: ChatRequest) -> ChatResult:
        answer = await self._sdk.messages.create(**write_request(request))
        return read_answer(answer.to_dict(), answer._request_id or "")

    @asynccontextmanager
    async def _open(self, request: ChatRequest) -> AsyncIterator[Opened]:
        stream = await self._sdk.messages.create(stream=True, **write_request(request))
        async with aclosing(stream.response) as response:
            yield response, _Assembly(response.headers.get("request-id", ""))

    async def _models(self) -> list[str]:
        return [model.id async for model in self._sdk.models.list(limit=1000)]

    @cached_property
    def _sdk(self) -> anthropic.AsyncAnthropic:
        """An SDK client that knows only what we tell it; takes some 0.2 ms, once.

        Headers from ANTHROPIC_CUSTOM_HEADERS can't be kept out by an argument, so they are
        dropped afterwards. Traces could carry people's conversations: off.
        """
        client = anthropic.AsyncAnthropic(
            api_key=self._key,
            base_url=self._base_url,
            http_client=self._http,
            max_retries=0,
            timeout=self._timeout,
            open_telemetry=False,
        )
        client._custom_headers = {}
        return client


def read_answer(answer: JSON, request_id: str) -> ChatResult:
    """Reads an answer that came at once."""
    usage = read_usage(answer["usage"])
    return _result(answer["content"], answer.get("stop_reason"), usage, answer["model"], request_id)


def _result(
    blocks: list[JSON], stop_reason: str | None, usage: Usage | None, model: str, request_id: str
) -> ChatResult:
    return ChatResult(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        tool_calls=tuple(_tool_calls(blocks)),
        finish_reason=_FINISH.get(stop_reason or "", FinishReason.OTHER),
        usage=usage,
        model=model,
        request_id=request_id,
        reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
    )


def _tool_calls(blocks: list[JSON]) -> Iterator[ToolCall]:
    """Thinking that led to a call is signed and must come back before it, unchanged."""
    thoughts: list[JSON] = []
    for block in blocks:
        if block["type"] in ("thinking", "redacted_thinking"):
            thoughts.append(block)
        elif block["type"] == "tool_use":
            opaque = json.dumps(thoughts) if thoughts else None
            yield ToolCall(block["id"], block["name"], dict(block["input"]), opaque)
            thoughts = []


def read_usage(counts: JSON, so_far: Usage | None = None) -> Usage:
    """Cache tokens are not in `input_tokens` on the wire, thinking is in `output_tokens`.

    Counts that a later event leaves out are those of `so_far`.
    """
    before = so_far or Usage()
    read = _or(counts.get("cache_read_input_tokens"), before.cache_read_tokens)
    written = _or(counts.get("cache_creation_input_tokens"), before.cache_write_tokens)
    by_age = counts.get("cache_creation") or {}
    plain = before.input_tokens - before.cache_read_tokens - before.cache_write_tokens
    details = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=_or(counts.get("input_tokens"), plain) + read + written,
        output_tokens=_or(counts.get("output_tokens"), before.output_tokens),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_or(details.get("thinking_tokens"), before.reasoning_tokens),
        cache_write_1h_tokens=_or(
            by_age.get("ephemeral_1h_input_tokens"), before.cache_write_1h_tokens
        ),
        service_tier=tier_of(counts.get("speed")) or before.service_tier,
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


@dataclass(slots=True)
class _Assembly:
    """The answer as far as it has arrived: blocks, which deltas make longer."""

    request_id: str
    model: str = ""
    stop_reason: str | None = None
    usage: Usage | None = None
    ended: bool = False
    blocks: dict[int, JSON] = field(default_factory=dict)
    arguments: dict[int, str] = field(default_factory=dict)

    def add(self, event: JSON) -> Iterator[Delta]:
        match event.get("type"):
            case "message_start":
                self.model = event["message"]["model"]
                yield self._count(event["message"]["usage"])
            case "content_block_start":
                self.blocks[event["index"]] = event["content_block"]
            case "content_block_delta":
                yield from self._extend(event["index"], event["delta"])
            case "message_delta":
                self.stop_reason = event["delta"].get("stop_reason")
                yield self._count(event["usage"])
            case "message_stop":
                self.ended = True

    def _count(self, counts: JSON) -> Delta:
        self.usage = read_usage(counts, self.usage)
        return Delta(usage=self.usage)

    def _extend(self, index: int, delta: JSON) -> Iterator[Delta]:
        block = self.blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
                yield Delta(text=delta["text"])
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
                yield Delta(reasoning=delta["thinking"])
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                self.arguments[index] = self.arguments.get(index, "") + delta["partial_json"]

    def result(self) -> ChatResult:
        if not self.ended:
            raise ValueError("not an answer")
        for index, text in self.arguments.items():
            self.blocks[index]["input"] = read_json(text or "{}")
        blocks = [block for _, block in sorted(self.blocks.items())]
        return _result(blocks, self.stop_reason, self.usage, self.model, self.request_id)
