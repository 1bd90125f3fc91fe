"""OpenAI's dialect (Chat Completions), spoken by OpenAI and by very many other servers.

Wire: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import openai

from providers.adapter import Adapter, Opened, SDKErrors
from providers.http import read_json
from providers.openai_request import write_request
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
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.REFUSED,
}


class OpenAIClient(Adapter):
    sdk_errors = SDKErrors(
        timeout=(openai.APITimeoutError,),
        connection=(openai.APIConnectionError,),
        status=(openai.APIError,),
    )

    async def _complete(self, request: ChatRequest) -> ChatResult:
        answer = await self._sdk.chat.completions.create(**self._arguments(request))
        return read_completion(answer.to_dict(), answer._request_id or "")

    @asynccontextmanager
    async def _open(self, request: ChatRequest) -> AsyncIterator[Opened]:
        arguments = self._arguments(request)
        if self.provider.wire.stream_options:
            arguments["stream_options"] = {"include_usage": True}
        stream = await self._sdk.chat.completions.create(stream=True, **arguments)
        async with aclosing(stream.response) as response:
            yield response, _Assembly(response.headers.get("x-request-id", ""))

    async def _models(self) -> list[str]:
        return [model.id async for model in self._sdk.models.list()]

    @cached_property
    def _sdk(self) -> openai.AsyncOpenAI:
        """An SDK client that knows only what we tell it; takes some 0.1 ms, once.

        The constructor reads OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS and more from the
        environment, and an empty string in their place would go out as an empty header: so
        what it may have found is dropped afterwards.
        """
        client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            http_client=self._http,
            max_retries=0,
            timeout=self._timeout,
        )
        client.organization = client.project = client.admin_api_key = None
        client._custom_headers = {}
        return client

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        return {
            **write_request(request, self.provider),
            "extra_headers": dict(request.headers),
            "extra_body": dict(request.extra),
        }


def read_completion(answer: JSON, request_id: str) -> ChatResult:
    choice = answer["choices"][0]
    message = choice["message"]
    calls = tuple(
        ToolCall(call["id"], function["name"], read_arguments(function.get("arguments")))
        for call in message.get("tool_calls") or ()
        if (function := call.get("function"))  # not every server sends a type
    )
    return ChatResult(
        text=_said(message),
        tool_calls=calls,
        finish_reason=_finish(choice.get("finish_reason"), bool(calls)),
        usage=read_usage(answer.get("usage"), answer.get("service_tier")),
        model=answer["model"],
        request_id=request_id,
        reasoning=_reasoning(message),
    )


def _said(holder: JSON) -> str:
    return holder.get("content") or holder.get("refusal") or ""


def read_arguments(text: str | None) -> JSON:
    """A tool's arguments; some servers send nothing at all for "no arguments".

    Raises UnreadableAnswer where they are too many, and ValueError for anything but a JSON object:
    a call that was cut off must not run.
    """
    arguments = read_json(text or "{}")
    if not isinstance(arguments, dict):
        raise ValueError("the arguments of a tool call are not an object")
    return arguments


def _finish(reason: str | None, has_calls: bool) -> FinishReason:
    finish = _FINISH.get(reason or "", FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if has_calls and finish == FinishReason.STOP else finish


def _reasoning(holder: JSON) -> str:
    """Not in OpenAI's answers; DeepSeek and vLLM say it one way, OpenRouter and Groq another."""
    text = holder.get("reasoning_content") or holder.get("reasoning")
    return text if isinstance(text, str) else ""


def read_usage(counts: JSON | None, tier: object = None) -> Usage | None:
    """Some servers (Gemini's, xAI's) leave thinking out of `completion_tokens` but not of the
    total: what is missing there was thinking, and is paid for."""
    if counts is None:
        return None
    prompt, completion = counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0
    hidden = max(0, (counts.get("total_tokens") or 0) - prompt - completion)
    cached = counts.get("prompt_tokens_details") or {}
    thinking = counts.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=prompt,
        output_tokens=completion + hidden,
        cache_read_tokens=cached.get("cached_tokens") or 0,
        cache_write_tokens=cached.get("cache_write_tokens") or 0,
        reasoning_tokens=max(thinking.get("reasoning_tokens") or 0, hidden),
        service_tier=tier_of(tier),
    )


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class _Assembly:
    """The answer as far as it has arrived."""

    request_id: str
    model: str = ""
    finish: str = ""
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Not every server sends `[DONE]`, but no answer ends without a reason."""
        return bool(self.finish)

    def add(self, event: JSON) -> Iterator[Delta]:
        self.model = event.get("model") or self.model
        for choice in (event.get("choices") or ())[:1]:
            yield from self._add_delta(choice.get("delta") or {})
            self.finish = choice.get("finish_reason") or self.finish
        if usage := read_usage(event.get("usage"), event.get("service_tier")):
            self.usage = usage
            yield Delta(usage=usage)

    def _add_delta(self, delta: JSON) -> Iterator[Delta]:
        text, reasoning = _said(delta), _reasoning(delta)
        if text or reasoning:
            self.text.append(text)
            self.reasoning.append(reasoning)
            yield Delta(text=text, reasoning=reasoning)
        self._add_calls(delta.get("tool_calls") or ())

    def _add_calls(self, fragments: Iterable[JSON]) -> None:
        """Fragments of one call share an index; servers that send whole calls may leave it out."""
        for fragment in fragments:
            index = fragment.get("index")
            call = self.calls.setdefault(len(self.calls) if index is None else index, _Call())
            call.id = fragment.get("id") or call.id
            function = fragment.get("function") or {}
            call.name = function.get("name") or call.name
            call.arguments += function.get("arguments") or ""

    def result(self) -> ChatResult:
        if not self.ended:
            raise ValueError("not an answer")
        calls = tuple(
            ToolCall(call.id, call.name, read_arguments(call.arguments))
            for _, call in sorted(self.calls.items())
        )
        return ChatResult(
            text="".join(self.text),
            tool_calls=calls,
            finish_reason=_finish(self.finish, bool(calls)),
            usage=self.usage,
            model=self.model,
            request_id=self.request_id,
            reasoning="".join(self.reasoning),
        )
