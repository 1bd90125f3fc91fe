"""Carrying out a run that stands in the database, here and now: from the command line as from a
background task. Safe to call twice and at the same time: a shard is in one process's hands."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model

from benchmarks import store
from benchmarks.keys import Keys, gather, of_environment, of_simulator, of_user
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.plan import Step
from benchmarks.rows import bare
from benchmarks.run import Run, Source
from benchmarks.runner import Progress, Silent, Work, carry_out
from benchmarks.simulation import Timing, timing
from benchmarks.simulator.server import SimulatorProcess
from usage.accounts import Caller
from usage.models import Surface

logger = logging.getLogger(__name__)


TimingOf = Callable[[Step], Timing | None]


def execute(
    run_id: uuid.UUID,
    *,
    keys: Keys | None = None,
    progress: Progress | None = None,
    timing_of: TimingOf | None = None,
) -> Run:
    """Makes the calls of the run that nobody else is making, until none is left, it is stopped or
    cancelled, or its money is out. Returns all that is known of the run then.

    `keys` are those of the plan's contenders; without them they are read anew. `timing_of` is what
    the simulator is told, if not the usual. Ctrl-C stops the run and is not raised. What nobody
    foresaw ends it as failed, and is raised.
    """
    row = BenchmarkRun.objects.get(pk=run_id)
    run = bare(row)
    while claim := store.take(run_id):
        with nullcontext(keys) if keys else keys_of(run) as usable:
            work = Work(
                plan=run.plan,
                keys=usable,
                caller=_caller(row),
                claim=claim,
                progress=progress or Silent(),
                timing=timing_of or _timing_of(run),
            )
            _carry_out(work)
        if not work.goes_on:
            break
    store.finish(run_id)
    return store.run_of(run_id)


def _timing_of(run: Run) -> TimingOf:
    if run.source != Source.SIMULATOR:
        return lambda step: None
    return partial(timing, run.plan.seed)


def _carry_out(work: Work) -> None:
    try:
        carry_out(work)
    except Exception as error:
        work.stop(RunStatus.FAILED, f"It broke off: {type(error).__name__}.")
        raise
    finally:
        try:
            store.end(work.claim, work.ends_as, work.error)
        except store.ClaimLost:
            logger.warning("A shard of run %s went into other hands.", work.claim.run_id)


@contextmanager
def keys_of(run: Run) -> Iterator[Keys]:
    """The keys of a run's contenders, read anew; the simulator runs meanwhile, if it is needed."""
    if run.source == Source.SIMULATOR:
        with SimulatorProcess() as simulator:
            yield gather(run.source, of_simulator(simulator.url), run.plan.contenders)
    elif run.source == Source.USER:
        yield gather(run.source, of_user(_owner(run.owner_id)), run.plan.contenders)
    else:
        yield gather(run.source, of_environment, run.plan.contenders)


def _caller(row: BenchmarkRun) -> Caller:
    return Caller(
        surface=Surface.BENCHMARK, user_id=row.owner_id, access_token_id=row.access_token_id
    )


def _owner(owner_id: Any) -> Any:
    return get_user_model().objects.get(pk=owner_id)
