"""One call, made and timed: streamed, never retried, on the same path as everybody's calls.

The clock is monotonic and runs from when the request leaves for the network until the answer
is complete or has failed. What the SDK does before (`prepare_ms`, one to three milliseconds) is
nobody's response time and differs by SDK; what goes into the database goes there afterwards.
"""

from __future__ import annotations

from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter

import httpx2
from django.utils import timezone

from agents.calls import Answer, call
from agents.clients import Selection
from benchmarks.plan import Plan, Step
from benchmarks.simulation import Timing, Truth
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, Message
from usage.ledger import Caller, OpenCall
from usage.models import Status, UsageRecord, UsageSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured call, and its row in the ledger.

    `record` holds tokens, cost and outcome; its times include `prepare_ms`, those here don't.
    `last_token_ms` is when the last text arrived; the answer is complete a little later, when
    the provider has told the usage (`latency_ms`). `error` is a sentence for a person.
    """

    step: Step
    started_at: datetime
    record: UsageRecord
    prepare_ms: float = 0.0
    last_token_ms: float | None = None
    text: str = ""
    finish_reason: str = ""
    error: str = ""
    truth: Truth | None = None

    @property
    def ok(self) -> bool:
        return self.record.status == Status.OK

    @property
    def latency_ms(self) -> float:
        return self.record.latency_ms - self.prepare_ms

    @property
    def time_s(self) -> float:
        return self.latency_ms / 1000

    @property
    def ttft_ms(self) -> float | None:
        """Until the first text, of the answer or of visible reasoning."""
        return None if self.record.ttft_ms is None else self.record.ttft_ms - self.prepare_ms


@dataclass(slots=True)
class Departure:
    """When a call's latest request left."""

    at: float | None = None


_departure: ContextVar[Departure] = ContextVar("departure")


async def note_departure(request: httpx2.Request) -> None:
    """A request hook for the HTTP client that all SDKs share: tells the call that it serves."""
    if departure := _departure.get(None):
        departure.at = perf_counter()


@dataclass(slots=True)
class _Heard:
    """What one call brought; times are readings of the clock."""

    last: float | None = None
    text: str = ""
    answer: Answer | None = None


async def measure(
    *,
    step: Step,
    plan: Plan,
    selection: Selection,
    caller: Caller,
    timing: Timing | None = None,
) -> Sample:
    """Makes the call. A failure is a sample too; only cancellation is raised."""
    request = ChatRequest(
        model=selection.model,
        messages=(Message.user(step.prompt.text),),
        max_tokens=plan.max_tokens,
        headers=timing.headers() if timing else {},
    )
    entry, error = OpenCall(caller, selection.payer), ""
    heard = _Heard()
    _departure.set(departure := Departure())
    started_at = timezone.now()
    try:
        await _listen(heard, selection, request, entry)
    except (ProviderError, Unreadable) as failure:
        error = str(failure)
    record = heard.answer.record if heard.answer else await UsageRecord.objects.aget(pk=entry.id)
    sent = departure.at or entry.start
    return Sample(
        step=step,
        started_at=started_at,
        record=record,
        prepare_ms=(sent - entry.start) * 1000,
        last_token_ms=(heard.last - sent) * 1000 if heard.last else None,
        text=heard.answer.result.text if heard.answer else heard.text,
        finish_reason=heard.answer.result.finish_reason if heard.answer else "",
        error=error,
        truth=_truth(timing, record),
    )


async def _listen(
    heard: _Heard, selection: Selection, request: ChatRequest, entry: OpenCall
) -> None:
    events = call(selection=selection, request=request, entry=entry, max_retries=0)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Answer):
                heard.answer = event
            else:
                heard.last = perf_counter()
                heard.text += event.text


def _truth(timing: Timing | None, record: UsageRecord) -> Truth | None:
    """None where the simulator did not do as it was told, or where there is no simulator."""
    reported = record.status == Status.OK and record.usage_source == UsageSource.REPORTED
    return timing.truth(record.output_tokens) if timing and reported else None
