"""One call, made and timed: streamed, never retried, on the same path as everybody's calls.

The clock is monotonic and runs from when the request leaves for the network until the answer
is complete or has failed. What the SDK does before (`prepare_ms`, one to three milliseconds) is
nobody's response time and differs by SDK; what goes into the database goes there afterwards.
"""

from __future__ import annotations

from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, fields
from time import perf_counter

import httpx2
from django.utils import timezone

from agents.calls import Answer, call
from agents.clients import Selection
from benchmarks.plan import Plan, Step
from benchmarks.sample import Bill, Sample, Truth
from benchmarks.simulation import Timing
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, Message
from usage.ledger import Caller, OpenCall
from usage.models import Status, UsageRecord, UsageSource


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
    prepare_ms = ((departure.at or entry.start) - entry.start) * 1000
    sent = entry.start + prepare_ms / 1000
    return Sample(
        step=step,
        started_at=started_at,
        record_id=record.pk,
        status=record.status,
        latency_ms=record.latency_ms - prepare_ms,
        ttft_ms=None if record.ttft_ms is None else record.ttft_ms - prepare_ms,
        last_token_ms=(heard.last - sent) * 1000 if heard.last else None,
        prepare_ms=prepare_ms,
        bill=bill_of(record),
        model_served=record.model_served,
        is_simulated=record.is_simulated,
        text=heard.answer.result.text if heard.answer else heard.text,
        finish_reason=str(heard.answer.result.finish_reason) if heard.answer else "",
        error_code=record.error_code,
        error=error,
        truth=_truth(timing, record),
    )


def bill_of(record: UsageRecord) -> Bill:
    return Bill(**{field.name: getattr(record, field.name) for field in fields(Bill)})


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
