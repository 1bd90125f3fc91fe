"""Carrying out a shard of a run, on one connection pool, writing down every sample."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from time import perf_counter
from typing import Protocol

import httpx2
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections

from agents.clients import Selection
from benchmarks import store
from benchmarks.budget import BudgetReached, Purse
from benchmarks.calibration import calibrate
from benchmarks.journal import Journal, heartbeat
from benchmarks.keys import Keys
from benchmarks.measure import measure, unstreamed
from benchmarks.models import RunStatus
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import Prompt
from benchmarks.recorder import record
from benchmarks.run import Source
from benchmarks.sample import Sample
from benchmarks.simulation import Timing
from benchmarks.store import Claim
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.http import http_client
from usage.accounts import Caller
from usage.admission import NotAdmitted, TooManyCalls

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:  # as in the server; hears of an answer about a millisecond earlier
    from uvloop import new_event_loop


STAGGER_SECONDS = 0.02
SWITCH_SECONDS = 0.0005


class Progress(Protocol):
    """Is told what happens while it happens, never while a call is being measured."""

    def initialized(self, contender: Contender, refusal: str) -> None:
        """A provider client could be made, or not: then `refusal` says why."""

    def started(self, step: Step) -> None: ...

    def finished(self, sample: Sample) -> None: ...


class Silent:
    """Progress that nobody watches."""

    def initialized(self, contender: Contender, refusal: str) -> None: ...

    def started(self, step: Step) -> None: ...

    def finished(self, sample: Sample) -> None: ...


@dataclass(slots=True, kw_only=True)
class Work:
    """A shard in hand, and how it has to end so far. `error` is a sentence for people."""

    plan: Plan
    keys: Keys
    caller: Caller
    claim: Claim
    progress: Progress
    timing: Callable[[Step], Timing | None]
    ends_as: RunStatus = RunStatus.COMPLETED
    error: str = ""

    @property
    def goes_on(self) -> bool:
        return self.ends_as == RunStatus.COMPLETED

    def stop(self, status: RunStatus, error: str = "") -> None:
        if self.goes_on:
            self.ends_as, self.error = status, error


def carry_out(work: Work) -> None:
    """Makes all calls of the shard that have no row yet. On Ctrl-C `work` says so; what has ended
    is written down already."""
    purse = Purse(work.plan, work.claim)
    try:
        with _no_long_pauses(), asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_carry_out(work, purse))
    except (KeyboardInterrupt, asyncio.CancelledError):
        work.stop(RunStatus.INTERRUPTED, "Interrupted.")


@contextmanager
def _no_long_pauses() -> Iterator[None]:
    """What writes to the database, in a thread, may hold the interpreter for 0.5 ms, not 5; and
    the collector is spared what `_settle` found."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
        gc.unfreeze()


def _settle() -> None:
    """Spares the collector what is there to stay, such as the SDKs: looking through all of it
    takes 130 ms, and would happen mid-call."""
    gc.collect()
    gc.freeze()


async def _carry_out(work: Work, purse: Purse) -> None:
    """With a database thread of its own: in a server, others have theirs."""
    whole = asyncio.current_task()
    assert whole is not None
    cancelled = partial(work.stop, RunStatus.CANCELLED, "Cancelled.")
    async with (
        ThreadSensitiveContext(),
        http_client() as http,
        heartbeat(work.claim, cancelled, lambda: whole.cancel()),
    ):
        record(http)
        try:
            ready = await _initialize(work, http)
            if not ready:
                work.stop(RunStatus.FAILED, "None of the keys can be used.")
            _settle()
            if ready and not work.plan.rate:
                await _calibrate(work, work.plan.levels, http)
            steps = [
                step
                for step in work.plan.steps_of(work.claim.number)
                if step.contender in ready and step.order not in work.claim.done
            ]
            journal = Journal(work.claim)
            take = _take_at_rate if work.plan.rate else _take_all
            for (was_cold, *_), section in groupby(steps, _section):
                await take(work, list(section), ready, purse, journal)
                if was_cold:
                    _settle()  # SDKs make much on their first call
            if steps and work.plan.rate:  # only now it is known how many were under way
                seconds = await sync_to_async(store.mean_seconds)(work.claim)
                await _calibrate(work, (work.plan.in_flight(seconds),), http)
        finally:
            await sync_to_async(connections.close_all)()


def _section(step: Step) -> tuple[bool, int, Prompt]:
    """Steps that are made together; the next ones wait for the last of them."""
    return step.cold, step.level, step.prompt


async def _calibrate(work: Work, levels: Iterable[int], http: httpx2.AsyncClient) -> None:
    """Simulated calls tell their truth themselves."""
    if work.keys.source != Source.SIMULATOR:
        number = work.claim.number
        ours = {level: work.plan.at_a_time(level, number) for level in levels}
        errors = await calibrate(work.plan, ours, http)
        await sync_to_async(store.note_harness)(work.claim, errors)


async def _initialize(work: Work, http: httpx2.AsyncClient) -> Mapping[Contender, Selection]:
    """Imports the SDKs and opens the keys, neither of which should count as waiting."""
    ready: dict[Contender, Selection] = {}
    for place, contender in enumerate(work.plan.contenders):
        refusal = work.keys.skipped.get(contender.provider, "There is no key for it any more.")
        if selection := work.keys.selections.get(contender):
            timed = replace(selection, timeout=work.plan.timeout)
            ready[contender] = timed if work.plan.stream else unstreamed(timed)
            refusal = _refusal(ready[contender], http)
        if refusal:
            ready.pop(contender, None)
            await sync_to_async(store.refuse)(work.claim, place, refusal)
        work.progress.initialized(contender, refusal)
    return ready


def _refusal(selection: Selection, http: httpx2.AsyncClient) -> str:
    try:
        selection.client(http)
    except (ProviderError, Unreadable) as error:
        return str(error)
    return ""


async def _take_all(
    work: Work,
    steps: list[Step],
    ready: Mapping[Contender, Selection],
    purse: Purse,
    journal: Journal,
) -> None:
    """In order, at most as many at a time as the steps say, the first ones a little apart: many
    streams that start at once would slow one another down. No more are sent after a stop."""
    queue = iter(steps)
    at_a_time = work.plan.at_a_time(steps[0].level, work.claim.number)

    async def worker(number: int) -> None:
        await asyncio.sleep(number * STAGGER_SECONDS)
        for step in queue:
            if not work.goes_on:
                return
            await _take(work, step, ready[step.contender], purse, journal)

    async with asyncio.TaskGroup() as group:
        for number in range(min(at_a_time, len(steps))):
            group.create_task(worker(number))


async def _take_at_rate(
    work: Work,
    steps: list[Step],
    ready: Mapping[Contender, Selection],
    purse: Purse,
    journal: Journal,
) -> None:
    """Each at a moment of chance (Poisson), however many are under way; a call that can't leave
    then, for whatever reason, is timed from that moment all the same."""
    assert work.plan.rate is not None
    chance = random.Random(f"{work.plan.seed} {steps[0].order}")
    planned = perf_counter()
    async with asyncio.TaskGroup() as group:
        for step in steps:
            planned += chance.expovariate(work.plan.rate / work.plan.shards)
            while (left := planned - perf_counter()) > 0:  # timers may ring a little early
                await asyncio.sleep(left)
            if not work.goes_on:
                return
            taking = _take(work, step, ready[step.contender], purse, journal, planned)
            group.create_task(taking)


async def _take(
    work: Work,
    step: Step,
    selection: Selection,
    purse: Purse,
    journal: Journal,
    planned: float | None = None,
) -> None:
    try:
        aside = await purse.set_aside(step)
    except BudgetReached as limit:
        work.stop(RunStatus.OUT_OF_MONEY, str(limit))
        return
    if not work.goes_on:
        await purse.give_back(aside)
        return
    work.progress.started(step)
    try:
        sample = await _admitted(_measuring(work, step, selection, planned))
    except NotAdmitted as limit:
        await purse.give_back(aside)
        work.stop(RunStatus.OUT_OF_MONEY, str(limit))
        return
    await journal.write(sample, aside)
    work.progress.finished(sample)


def _measuring(
    work: Work, step: Step, selection: Selection, planned: float | None
) -> Callable[[], Awaitable[Sample]]:
    return partial(
        measure,
        step=step,
        plan=work.plan,
        selection=selection,
        caller=work.caller,
        timing=work.timing(step),
        planned=planned,
    )


async def _admitted(measuring: Callable[[], Awaitable[Sample]]) -> Sample:
    """Waits where our own limit of calls a minute asks for it: nothing has been sent then."""
    while True:
        try:
            return await measuring()
        except TooManyCalls as limit:
            await asyncio.sleep(limit.retry_after)
