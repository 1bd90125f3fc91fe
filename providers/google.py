"""Google's dialect (Gemini's generateContent), on google-genai.

Wire: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
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
    JSON,
    ChatRequest,
    ChatResult,
    Delta,
    FinishReason,
    ToolCall,
    Usage,
    tier_of,
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
        http = _OneAnswer(self._http)
        await self._sdk(http).models.generate_content(**self._arguments(request))
        answer = _Assembly(self.label)
        list(answer.add(http.response.json()))
        return answer.result()

    @asynccontextmanager
    async def _open(self, request: ChatRequest) -> AsyncIterator[Opened]:
        async with aclosing(_OneAnswer(self._http)) as http:
            models = self._sdk(http).models
            async for _ in await models.generate_content_stream(**self._arguments(request)):
                pass  # it sends the request once it is asked for a chunk, of which it has none
            yield http.response, _Assembly(self.label)

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
    """The shared HTTP client as the SDK uses it, and a hold on the answer it got.

    A stream that was accepted is kept from the SDK, which gets an empty one: it would make objects
    of each event, in generators four deep of which it closes the innermost only when they are all
    collected. Here one `aclose()` ends the connection at once.
    """

    response: httpx2.Response

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.build_request = http.build_request
        self._http = http

    async def request(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        self.response = await self._http.request(*args, **kwargs)
        return self.response

    async def send(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        self.response = await self._http.send(request, stream=stream)
        if stream and self.response.is_success:
            return httpx2.Response(200, headers=self.response.headers, content=b"", request=request)
        return self.response

    async def aclose(self) -> None:
        if hasattr(self, "response"):
            await self.response.aclose()


@dataclass(slots=True)
class _Assembly:
    """The answer as far as it has arrived; a whole answer is one that arrives in one event."""

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

    def add(self, event: JSON) -> Iterator[Delta]:
        self.model = event.get("modelVersion") or self.model
        self.response_id = event.get("responseId") or self.response_id
        self.blocked = (event.get("promptFeedback") or {}).get("blockReason") or self.blocked
        for candidate in (event.get("candidates") or ())[:1]:
            yield from self._add_parts((candidate.get("content") or {}).get("parts") or ())
            self.finish = candidate.get("finishReason") or self.finish
        if usage := read_usage(event.get("usageMetadata")):
            self.usage = usage
            yield Delta(usage=usage)

    def _add_parts(self, parts: Iterable[JSON]) -> Iterator[Delta]:
        for part in parts:
            if call := part.get("functionCall"):
                self.calls.append(_tool_call(call, part.get("thoughtSignature")))
            elif said := part.get("text"):
                text, reasoning = ("", said) if part.get("thought") else (said, "")
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


def _tool_call(call: JSON, signature: str | None) -> ToolCall:
    return ToolCall(
        id=call.get("id") or f"{OWN_ID}{uuid.uuid4().hex}",
        name=call.get("name") or "",
        arguments=call.get("args") or {},
        opaque=_opaque(signature) if signature else None,
    )


def _opaque(signature: str) -> str:
    """Base64 of one alphabet, whichever the server writes."""
    return base64.b64encode(base64.urlsafe_b64decode(f"{signature}==")).decode()


def read_usage(counts: JSON | None) -> Usage | None:
    """On the wire thinking is not among the candidates' tokens, nor are the tokens of what
    Google's own tools have read among the prompt's."""
    if counts is None:
        return None
    thoughts = counts.get("thoughtsTokenCount") or 0
    read = counts.get("promptTokenCount") or 0, counts.get("toolUsePromptTokenCount") or 0
    return Usage(
        input_tokens=sum(read),
        output_tokens=(counts.get("candidatesTokenCount") or 0) + thoughts,
        cache_read_tokens=counts.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thoughts,
        service_tier=tier_of(counts.get("serviceTier")),
    )
