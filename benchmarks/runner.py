"""Carrying out a plan, on one connection pool, keeping every sample."""

from __future__ import annotations

import asyncio
import gc
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Protocol

import httpx2
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from agents.clients import Selection
from benchmarks.baseline import Baseline
from benchmarks.budget import BudgetReached, Purse
from benchmarks.keys import Keys, Source
from benchmarks.measure import Sample, measure, note_departure
from benchmarks.plan import Contender, Plan, Step
from benchmarks.simulation import timing
from benchmarks.slo import Slo
from credentials.vault import Unreadable
from providers.errors import ProviderError
from providers.http import http_client
from usage.admission import NotAdmitted, TooManyCalls
from usage.ledger import Caller

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:  # as in the server; hears of an answer about a millisecond earlier
    from uvloop import new_event_loop


STAGGER_SECONDS = 0.02


class Progress(Protocol):
    """Is told what happens while it happens, never while a call is being measured."""

    def initialized(self, contender: Contender, refusal: str) -> None:
        """A provider client could be made, or not: then `refusal` says why."""

    def started(self, step: Step) -> None: ...

    def finished(self, sample: Sample) -> None: ...


@dataclass(slots=True)
class Run:
    """A plan and what has come of it so far. `out_of_money` is a sentence: --max-cost or a budget
    of the user has no room for the next call."""

    plan: Plan
    keys: Keys
    caller: Caller
    started_at: datetime = field(default_factory=timezone.now)
    finished_at: datetime | None = None
    interrupted: bool = False
    samples: list[Sample] = field(default_factory=list)
    refused: dict[Contender, str] = field(default_factory=dict)
    out_of_money: str = ""
    slo: Slo | None = None
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    baseline: Baseline | None = None

    @property
    def contenders(self) -> list[Contender]:
        """Those whose key could be used."""
        return [contender for contender in self.plan.contenders if contender not in self.refused]

    @property
    def measured(self) -> list[Sample]:
        return [sample for sample in self.samples if not sample.step.cold]

    @property
    def cold(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.step.cold]

    def is_simulated(self, contender: Contender) -> bool:
        return self.keys.selections[contender].payer.is_simulated


def execute(run: Run, progress: Progress) -> None:
    """Makes all calls; on Ctrl-C `run` holds what there is, and says that it was interrupted."""
    purse = Purse(run.plan)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner, _no_long_pauses():
            runner.run(carry_out(run, progress, purse))
    except KeyboardInterrupt:
        run.interrupted = True
    run.finished_at = timezone.now()


@contextmanager
def _no_long_pauses() -> Iterator[None]:
    """Spares the collector what is there to stay, or it would look through all of it mid-call."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def carry_out(run: Run, progress: Progress, purse: Purse) -> None:
    async with http_client() as http:
        http.event_hooks["request"].append(note_departure)
        try:
            ready = _initialize(run, progress, http)
            steps = [step for step in run.plan.steps() if step.contender in ready]
            for _, section in groupby(steps, lambda step: (step.cold, step.prompt)):
                await _take_all(run, list(section), ready, progress, purse)
        finally:
            await sync_to_async(connections.close_all)()


async def _take_all(
    run: Run,
    steps: Iterable[Step],
    ready: Mapping[Contender, Selection],
    progress: Progress,
    purse: Purse,
) -> None:
    """In order, at most `concurrency` at a time, the first ones a little apart: many streams
    that start at once would slow one another down. No more are sent once the money is out."""
    queue = iter(steps)

    async def worker(number: int) -> None:
        await asyncio.sleep(number * STAGGER_SECONDS)
        for step in queue:
            if run.out_of_money:
                return
            await _take(run, step, ready[step.contender], progress, purse)

    if run.plan.concurrency == 1:
        await worker(0)
    else:
        async with asyncio.TaskGroup() as workers:
            for number in range(run.plan.concurrency):
                workers.create_task(worker(number))


def _initialize(
    run: Run, progress: Progress, http: httpx2.AsyncClient
) -> Mapping[Contender, Selection]:
    """Imports the SDKs and opens the keys, neither of which should count as waiting."""
    ready: dict[Contender, Selection] = {}
    for contender, selection in run.keys.selections.items():
        selection = replace(selection, timeout=run.plan.timeout)
        try:
            selection.client(http)
        except (ProviderError, Unreadable) as error:
            run.refused[contender] = str(error)
        else:
            ready[contender] = selection
        progress.initialized(contender, run.refused.get(contender, ""))
    return ready


async def _take(
    run: Run, step: Step, selection: Selection, progress: Progress, purse: Purse
) -> None:
    try:
        async with purse.reserved(step) as taken:
            progress.started(step)
            sample = await _admitted(_measuring(run, step, selection))
            taken.append(sample)
    except (BudgetReached, NotAdmitted) as limit:
        run.out_of_money = str(limit)
        return
    run.samples.append(sample)
    progress.finished(sample)


def _measuring(run: Run, step: Step, selection: Selection) -> Callable[[], Awaitable[Sample]]:
    simulated = run.keys.source == Source.SIMULATOR
    return partial(
        measure,
        step=step,
        plan=run.plan,
        selection=selection,
        caller=run.caller,
        timing=timing(run.plan.seed, step) if simulated else None,
    )


async def _admitted(measuring: Callable[[], Awaitable[Sample]]) -> Sample:
    """Waits where our own limit of calls a minute asks for it: nothing has been sent then."""
    while True:
        try:
            return await measuring()
        except TooManyCalls as limit:
            await asyncio.sleep(limit.retry_after)
