"""A call whose model belongs to another dialect than the client's: the request is translated, made
on the same path as everybody's calls (`agents.calls`), and its answer translated back.

The ledger has its row before the client can know that the answer is over.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

from asgiref.sync import sync_to_async
from django.db import connections

from agents.calls import Answer, call
from agents.clients import Selection
from agents.tries import Fallback
from credentials.vault import Unreadable
from gateway.asked import Asked
from gateway.dialects import Dialect, error_bytes
from gateway.errors import BadBody, ClientGone
from gateway.exchange import STREAM_HEADERS, Exchange
from gateway.rate_headers import rate_headers
from gateway.receipts import receipt_headers
from gateway.relay import STREAM_SECONDS
from gateway.translation.answers import AnthropicWriter, GoogleWriter, OpenAIWriter
from gateway.translation.from_anthropic import read_anthropic_request
from gateway.translation.from_google import read_google_request
from gateway.translation.from_openai import read_openai_request
from providers import registry
from providers.errors import CallTimeout, ProviderError
from providers.vocabulary import ChatRequest, Delta
from usage.ledger import OpenCall

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
# By the name of the dialect: how its requests are read and its answers written.
_DIALECTS = {
    "openai": (read_openai_request, OpenAIWriter),
    "anthropic": (read_anthropic_request, AnthropicWriter),
    "google": (read_google_request, GoogleWriter),
}


def request_of(dialect: Dialect, asked: Asked, model: str) -> ChatRequest:
    """Raises BadBody and Untranslatable."""
    _refuse_half_characters(asked)
    read, _ = _DIALECTS[dialect.provider]
    return read(asked.parsed, model)


def _refuse_half_characters(asked: Asked) -> None:
    """JSON can say half of a surrogate pair, which is no text that can be sent on."""
    if _HALF.search(asked.body):
        try:
            json.dumps(asked.parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadBody(flaw="it holds half of a character (\\ud800 to \\udfff)") from None


class Translated:
    """One call under way. Raises BadBody and Untranslatable when it is made."""

    def __init__(
        self,
        exchange: Exchange,
        dialect: Dialect,
        asked: Asked,
        selection: Selection,
        call: OpenCall,
        fallback: Sequence[Fallback] = (),
    ) -> None:
        self.exchange, self.dialect, self.call = exchange, dialect, call
        self.selection = selection
        self.streams = asked.stream
        self.begun = False
        self.fallback = fallback
        _, write = _DIALECTS[dialect.provider]
        request = request_of(dialect, asked, selection.model)
        self.request = replace(request, headers=self._headers_for_the_simulator())
        options = asked.parsed.get("stream_options")
        shows_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        self.writer = write(str(call.id), selection.model, shows_usage)

    def _headers_for_the_simulator(self) -> dict[str, str]:
        if not self.selection.payer.is_simulated:
            return {}
        headers = self.exchange.headers.items()
        return {name: value for name, value in headers if name.startswith("x-sim-")}

    async def run(self) -> None:
        """Answers the client. Raises NotAdmitted, before anything was sent or answered."""
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                await self.exchange.while_connected(self._serve())
        except (ProviderError, Unreadable) as error:
            await self._fail(error)
        except TimeoutError:  # what had arrived has been settled
            await self._fail(CallTimeout(registry.label(self.call.payer.provider)))
        except (ClientGone, OSError):  # the call has been settled when it was cancelled
            return

    async def _serve(self) -> None:
        """The path of everybody's calls does its database work in asgiref's thread, which all
        such calls share; its connection is closed before the client can know of the end."""
        try:
            answer = await self._answer()
        finally:
            await sync_to_async(connections.close_all)()
        await self._end(answer)

    async def _answer(self) -> Answer:
        """The end of the call, once all before it has been passed on."""
        events = call(
            selection=self.selection,
            request=self.request,
            entry=self.call,
            fallback=self.fallback,
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Answer):
                    return event
                await self._pass_on(event)
        raise AssertionError("a call ends with an answer or raises")

    async def _pass_on(self, delta: Delta) -> None:
        if self.streams and delta.text:
            await self._begin()
            await self._write(self.writer.delta(delta.text))

    async def _end(self, answer: Answer) -> None:
        if self.streams:
            await self._begin()
            await self._write(self.writer.end(answer.result))
            await self.exchange.end()
        else:
            spent = self.exchange.seconds() - answer.record.latency_ms / 1000
            headers = [
                ("content-type", "application/json"),
                *receipt_headers(self.call, answer.record, spent),
                *self._limits(),
            ]
            body = json.dumps(self.writer.whole(answer.result), ensure_ascii=False).encode()
            await self.exchange.answer(200, headers, body)

    async def _begin(self) -> None:
        if not self.begun:
            kind = ("content-type", "text/event-stream")
            headers = [kind, *STREAM_HEADERS, *receipt_headers(self.call), *self._limits()]
            await self.exchange.start(200, headers)
            self.begun = True
            await self._write(self.writer.start())

    def _limits(self) -> Iterable[tuple[str, str]]:
        """Our own: what the provider said of its limits is for another dialect."""
        return rate_headers(self.dialect, self.call.hold.remaining) if self.call.hold else ()

    async def _write(self, events: Iterable[bytes]) -> None:
        if data := b"".join(events):
            await self.exchange.write(data)

    async def _fail(self, error: ProviderError | Unreadable) -> None:
        wait: float | None = getattr(error, "retry_after", None)
        body = error_bytes(
            self.dialect, status=error.status, code=error.code, message=str(error), retry_after=wait
        )
        if self.begun:
            await self.exchange.end(self.dialect.error_frame(body))
        else:
            headers = [("content-type", "application/json"), *receipt_headers(self.call)]
            if wait is not None:
                headers.append(("retry-after", str(math.ceil(wait))))
            await self.exchange.answer(error.status, headers, body)
