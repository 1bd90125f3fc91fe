"""One call, made and timed, never retried, on the same path as everybody's calls.

The clock is monotonic. It runs from when the request is written to the connection, or with a
planned rate from when it was to leave, until the answer is complete or has failed. Making the
request (`prepare_ms`, one to three milliseconds, different for each SDK) and connecting
(`connect_ms`) come before and are told apart; what goes into the database goes there afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, fields
from time import perf_counter
from typing import TypedDict

import httpx2
from django.utils import timezone

from agents.calls import Answer, call
from agents.clients import Selection
from benchmarks.checks import failed
from benchmarks.plan import Plan, Step
from benchmarks.recorder import Recorder, recording
from benchmarks.sample import Bill, Sample, Truth
from benchmarks.simulation import Timing
from benchmarks.tokens import count_tokens
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, ChatResult, Delta, Message, ProviderClient
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall
from usage.models import Status, UsageRecord, UsageSource


class WholeAnswers(Selection):
    """A selection whose answers come in one piece, for calls that are not to be streamed."""

    __slots__ = ()

    def client(self, http: httpx2.AsyncClient) -> ProviderClient:
        return _Whole(Selection.client(self, http))


def unstreamed(selection: Selection) -> WholeAnswers:
    return WholeAnswers(**{one.name: getattr(selection, one.name) for one in fields(selection)})


class _Whole:
    """A provider client that never streams."""

    def __init__(self, client: ProviderClient) -> None:
        self.complete, self.models = client.complete, client.models

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | ChatResult, None]:
        yield await self.complete(request)


class TimedCall(OpenCall):
    """A ledger row whose times are those at which bytes arrived, not those of reading them."""

    def __init__(self, caller: Caller, payer: Payer, recorder: Recorder) -> None:
        super().__init__(Account(caller, payer))
        self._recorder = recorder

    def first_token(self) -> None:
        if self._first is None:
            self._first = self._recorder.now

    def stop(self) -> None:
        self._end = self._recorder.ended or perf_counter()


@dataclass(slots=True)
class Heard:
    """What one call brought; times are readings of the clock. Whole answers have no event."""

    first_event: float | None = None
    first: float | None = None
    first_visible: float | None = None
    last: float | None = None
    text: str = ""
    answer: Answer | None = None

    def add(self, delta: Delta, at: float | None) -> None:
        self.first, self.last = self.first or at, at
        if delta.text:
            self.first_visible = self.first_visible or at
            self.text += delta.text


async def measure(
    *,
    step: Step,
    plan: Plan,
    selection: Selection,
    caller: Caller,
    timing: Timing | None = None,
    planned: float | None = None,
) -> Sample:
    """Makes the call. A failure is a sample too; only cancellation is raised. `planned` is when
    it was to leave, by `perf_counter`."""
    request = ChatRequest(
        model=selection.model,
        messages=(Message.user(step.prompt.text),),
        system=step.prompt.system,
        max_tokens=plan.max_tokens,
        headers=timing.headers() if timing else {},
    )
    started_at, heard, error = timezone.now(), Heard(), ""
    with recording() as recorder:
        entry = TimedCall(caller, selection.payer, recorder)
        try:
            await _listen(heard, selection, request, entry, recorder)
        except (ProviderError, Unreadable) as failure:
            error = str(failure)
        heard.first_event = recorder.first_event if plan.stream else None
    answer = heard.answer
    record = answer.record if answer else await UsageRecord.objects.aget(pk=entry.id)
    text, checks = answer.result.text if answer else heard.text, step.prompt.checks
    not_passed = await asyncio.to_thread(failed, checks, text) if checks else ()
    return Sample(
        step=step,
        started_at=started_at,
        record_id=record.pk,
        status=record.status,
        **_times(heard, recorder, entry, record, planned),
        bill=bill_of(record),
        model_served=record.model_served,
        is_simulated=record.is_simulated,
        text=text,
        finish_reason=str(answer.result.finish_reason) if answer else "",
        error_code=record.error_code,
        error=error,
        counted_tokens=count_tokens(text),
        passed=record.status == Status.OK and not not_passed if checks else None,
        failed_checks=not_passed,
        truth=_truth(timing, record),
    )


class Times(TypedDict):
    """Those of a sample, in milliseconds."""

    latency_ms: float
    ttft_ms: float | None
    first_event_ms: float | None
    first_visible_ms: float | None
    last_token_ms: float | None
    prepare_ms: float
    connect_ms: float | None
    wait_ms: float | None


def _times(
    heard: Heard,
    recorder: Recorder,
    entry: OpenCall,
    record: UsageRecord,
    planned: float | None,
) -> Times:
    """From readings of the clock to what they mean, counted from when the request left or was to
    leave."""
    sent = recorder.sent or entry.start
    ended = entry.start + record.latency_ms / 1000
    origin = sent if planned is None else planned

    def since(at: float | None) -> float | None:
        return None if at is None else (at - origin) * 1000

    return Times(
        latency_ms=(ended - origin) * 1000,
        ttft_ms=since(heard.first),
        first_event_ms=since(heard.first_event),
        first_visible_ms=since(heard.first_visible),
        last_token_ms=since(heard.last),
        prepare_ms=max((sent - entry.start) * 1000 - (recorder.connect_ms or 0.0), 0.0),
        connect_ms=recorder.connect_ms,
        wait_ms=None if planned is None else (sent - planned) * 1000,
    )


def bill_of(record: UsageRecord) -> Bill:
    return Bill(**{field.name: getattr(record, field.name) for field in fields(Bill)})


async def _listen(
    heard: Heard,
    selection: Selection,
    request: ChatRequest,
    entry: OpenCall,
    recorder: Recorder,
) -> None:
    events = call(selection=selection, request=request, entry=entry, max_retries=0)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Answer):
                heard.answer = event
            else:
                heard.add(event, recorder.now)


def _truth(timing: Timing | None, record: UsageRecord) -> Truth | None:
    """None where the simulator did not do as it was told, or where there is no simulator."""
    reported = record.status == Status.OK and record.usage_source == UsageSource.REPORTED
    return timing.truth(record.output_tokens) if timing and reported else None
