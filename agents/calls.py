"""One provider call on its whole path: admitted, made (and made again), settled.

Selection comes before (`agents.clients.select`), the receipt goes to whoever asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from agents.clients import Selection
from agents.database import in_database
from agents.tries import RETRY_SECONDS, Fallback, Plan, tries
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.http import http_client
from providers.vocabulary import ChatRequest, ChatResult, Delta, Text, Usage
from usage.admission import let_in
from usage.ledger import OpenCall, estimated_tokens
from usage.models import Status, UsageRecord, UsageSource


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a call that succeeded: what the model said, and its ledger row."""

    result: ChatResult
    record: UsageRecord


class Tally:
    """What has arrived so far, so that a call that is cut off can be settled by estimate."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._reported: Usage | None = None
        self.text = ""
        self._reasoning_length = 0

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self._reasoning_length += len(delta.reasoning)
        self._reported = delta.usage or self._reported

    def estimate(self) -> Usage:
        """Zero where nothing arrived; else input as far as told, output by its length."""
        if not self.text and not self._reasoning_length and self._reported is None:
            return Usage()
        told = self._reported or Usage(input_tokens=self._estimated_input())
        return told._replace(
            output_tokens=estimated_tokens(len(self.text) + self._reasoning_length),
            reasoning_tokens=estimated_tokens(self._reasoning_length),
        )

    def whole(self, result: ChatResult) -> Usage:
        """The estimate for an answer that came whole but without usage."""
        output = estimated_tokens(len(result.text) + len(result.reasoning))
        return Usage(input_tokens=self._estimated_input(), output_tokens=output)

    def _estimated_input(self) -> int:
        parts = [part for message in self._request.messages for part in message.parts]
        texts = [part.text for part in parts if isinstance(part, Text)]
        return estimated_tokens(len(self._request.system) + sum(map(len, texts)))


async def call(
    *,
    selection: Selection,
    request: ChatRequest,
    entry: OpenCall,
    fallback: Sequence[Fallback] = (),
    max_retries: int = len(RETRY_SECONDS),
) -> AsyncGenerator[Delta | Answer]:
    """Deltas as they come, then one Answer, last. The ledger has its row before that.

    `entry` is made just before, by whoever asks: so they know the row's id, also where the call
    fails. `fallback` are the plans that take over, in order, where nothing has come yet and the
    failure is one that may pass. `max_retries=0` is for who measures.

    Raises NotAdmitted (nothing was sent, no row), Unreadable, and ProviderError (settled as
    failed). Closing the generator early, or cancelling it, stops the provider's work and
    settles what had arrived as cancelled, by estimate.
    """
    plan = Plan(selection, request)
    await let_in(in_database, entry, plan.most())
    entry.begin()
    tally = Tally(request)
    result: ChatResult | None = None
    async with _settled_if_it_fails(entry, tally), http_client() as http:
        events = tries(
            entry=entry, http=http, plan=plan, fallback=fallback, max_retries=max_retries
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, ChatResult):
                    result = event
                    entry.stop()
                    break
                tally.add(event)
                if event.text or event.reasoning:
                    entry.first_token()
                    yield event
    assert result is not None, "a provider client's stream ends with a ChatResult or raises"
    yield Answer(result, await _settle(entry, tally, result))


@asynccontextmanager
async def _settled_if_it_fails(entry: OpenCall, tally: Tally) -> AsyncGenerator[None]:
    """The call within has its row before anybody hears that it failed or was broken off."""
    try:
        yield
    except (ProviderError, Unreadable) as error:
        await _settle_failed(entry, tally, Status.ERROR, error)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        await asyncio.shield(_settle_failed(entry, tally, Status.CANCELLED, None))
        raise
    except Exception:  # a mistake of ours: not even then is a call without its row
        await _settle_failed(entry, tally, Status.ERROR, None)
        raise


async def _settle(entry: OpenCall, tally: Tally, result: ChatResult) -> UsageRecord:
    reported = result.usage is not None
    return await in_database(
        entry.settle,
        status=Status.OK,
        usage=result.usage or tally.whole(result),
        usage_source=UsageSource.REPORTED if reported else UsageSource.ESTIMATED,
        model_served=result.model,
        request_id=result.request_id,
    )


async def _settle_failed(
    entry: OpenCall, tally: Tally, status: Status, error: ProviderError | Unreadable | None
) -> UsageRecord:
    entry.stop()
    return await in_database(
        entry.settle,
        status=status,
        usage=tally.estimate(),
        usage_source=UsageSource.ESTIMATED,
        error_code=error.code if error else "internal_error" if status == Status.ERROR else "",
        reason=str(error) if error else "",
        request_id=getattr(error, "request_id", ""),
    )
