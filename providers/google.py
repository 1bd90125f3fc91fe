"""Google's dialect (Gemini's generateContent), on google-genai.

Wire: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from google import genai
from google.genai import errors as google_errors
from google.genai import types
from google.genai.client import DebugConfig
from pydantic import ValidationError

from providers import errors
from providers.adapter import Adapter, Opened, SDKErrors
from providers.google_request import OWN_ID, write_request
from providers.http import ssl_context
from providers.vocabulary import (
    ChatRequest,
    ChatResult,
    Delta,
    FinishReason,
    ToolCall,
    Usage,
)

API_VERSION = "v1beta"

_FINISH = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        FinishReason.REFUSED,
    ),
}

# Without it GOOGLE_GENAI_CLIENT_MODE could make the SDK record calls to disk.
_NO_DEBUGGING = DebugConfig(client_mode=None, replays_directory=None, replay_id=None)
# Given a client for synchronous calls, of which we make none, the SDK does not make one.
_NO_SYNC_CLIENT = object()


class GoogleClient(Adapter):
    sdk_errors = SDKErrors(status=(google_errors.APIError,))

    async def _complete(self, request: ChatRequest) -> ChatResult:
        models = self._sdk(_OneAnswer(self._http)).models
        answer = _Assembly(self.label)
        list(answer.add(await models.generate_content(**self._arguments(request))))
        return answer.result()

    @asynccontextmanager
    async def _open(self, request: ChatRequest) -> AsyncIterator[Opened]:
        async with aclosing(_OneAnswer(self._http)) as http:
            models = self._sdk(http).models
            chunks = await models.generate_content_stream(**self._arguments(request))
            yield chunks, _Assembly(self.label)

    async def _models(self) -> list[str]:
        pager = await self._sdk(_OneAnswer(self._http)).models.list(config={"page_size": 1000})
        return [(model.name or "").removeprefix("models/") async for model in pager]

    def _sdk(self, http: _OneAnswer) -> genai.client.AsyncClient:
        """An SDK client that knows only what we tell it; takes some 0.2 ms.

        All that the SDK would take from the environment is given: another API, version or host
        (GOOGLE_GENAI_USE_VERTEXAI, GOOGLE_GEMINI_BASE_URL …). `model_construct` as the options
        are right as they are and checking them costs more than all the rest. The TLS settings
        are for websockets, which are not used: without, the SDK loads certificates each time.
        """
        options = types.HttpOptions.model_construct(
            base_url=self._base_url,
            api_version=API_VERSION,
            timeout=max(1, int(self._seconds * 1000)),  # 0 would mean: no timeout
            httpx_client=_NO_SYNC_CLIENT,
            httpx_async_client=http,
            async_client_args={"ssl": ssl_context()},
        )
        return genai.Client(
            vertexai=False, api_key=self._key, http_options=options, debug_config=_NO_DEBUGGING
        ).aio

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        try:
            return write_request(request)
        except ValidationError as error:
            fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors() if e["loc"]}))
            raise errors.InvalidRequest(self.label, detail=f"check {fields}") from None


class _OneAnswer:
    """The shared HTTP client as the SDK uses it, and a hold on the answer it opened.

    The SDK wraps a stream's answer in generators four deep and closes the innermost only when
    they are all collected. Here one `aclose()` ends the connection at once.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.build_request = http.build_request
        self.request = http.request
        self._http = http
        self._response: httpx2.Response | None = None

    async def send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        self._response = await self._http.send(request, stream=stream)
        return self._response

    async def aclose(self) -> None:
        if self._response is not None:
            await self._response.aclose()


@dataclass(slots=True)
class _Assembly:
    """The answer as far as it has arrived; a whole answer is one that arrives in one chunk."""

    label: str
    model: str = ""
    response_id: str = ""
    finish: str = ""
    blocked: str = ""
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.finish or self.blocked)

    def add(self, chunk: types.GenerateContentResponse) -> Iterator[Delta]:
        self.model = chunk.model_version or self.model
        self.response_id = chunk.response_id or self.response_id
        if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
            self.blocked = str(chunk.prompt_feedback.block_reason.value)
        for candidate in (chunk.candidates or ())[:1]:
            yield from self._add_parts(candidate)
            if candidate.finish_reason:
                self.finish = str(candidate.finish_reason.value)
        if usage := read_usage(chunk.usage_metadata):
            self.usage = usage
            yield Delta(usage=usage)

    def _add_parts(self, candidate: types.Candidate) -> Iterator[Delta]:
        for part in (candidate.content and candidate.content.parts) or ():
            if part.function_call:
                self.calls.append(_tool_call(part.function_call, part.thought_signature))
            elif part.text:
                text, reasoning = ("", part.text) if part.thought else (part.text, "")
                self.text.append(text)
                self.reasoning.append(reasoning)
                yield Delta(text=text, reasoning=reasoning)

    def result(self) -> ChatResult:
        if self.blocked:
            raise errors.ContentRefused(self.label, detail=f"prompt blocked: {self.blocked}")
        if not self.finish:
            raise ValueError("not an answer")
        finish = _FINISH.get(self.finish, FinishReason.OTHER)
        if self.calls and finish == FinishReason.STOP:
            finish = FinishReason.TOOL_CALLS
        return ChatResult(
            text="".join(self.text),
            tool_calls=tuple(self.calls),
            finish_reason=finish,
            usage=self.usage,
            model=self.model,
            request_id=self.response_id,
            reasoning="".join(self.reasoning),
        )


def _tool_call(call: types.FunctionCall, signature: bytes | None) -> ToolCall:
    return ToolCall(
        id=call.id or f"{OWN_ID}{uuid.uuid4().hex}",
        name=call.name or "",
        arguments=call.args or {},
        opaque=base64.b64encode(signature).decode() if signature else None,
    )


def read_usage(counts: types.GenerateContentResponseUsageMetadata | None) -> Usage | None:
    """On the wire thinking is not among the candidates' tokens, nor are the tokens of what
    Google's own tools have read among the prompt's."""
    if counts is None:
        return None
    thoughts = counts.thoughts_token_count or 0
    return Usage(
        input_tokens=(counts.prompt_token_count or 0) + (counts.tool_use_prompt_token_count or 0),
        output_tokens=(counts.candidates_token_count or 0) + thoughts,
        cache_read_tokens=counts.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )
