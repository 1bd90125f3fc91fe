"""A run's way through the database: made, taken in hand, written down call by call, ended.

What is left to do stands in the rows, so that whoever finds a run whose process has died can go
on with it. A shard is in the hands of whoever put their claim on it last: nobody else's calls
are written down.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Avg, F
from django.utils import timezone

from benchmarks import results
from benchmarks.models import (
    LOST_AFTER,
    MOST_ATTEMPTS,
    UNDER_WAY,
    BenchmarkRun,
    BenchmarkSample,
    BenchmarkShard,
    RunStatus,
)
from benchmarks.plan import Contender, Plan
from benchmarks.plan_json import plan_to_json
from benchmarks.rows import load, to_row
from benchmarks.run import Run, Source
from benchmarks.sample import Error, Sample
from benchmarks.summary import outlying
from credentials.trail import Action, record

# How a run ended, by how its shards did: the first of these that any of them says.
WORST_FIRST = (
    RunStatus.FAILED,
    RunStatus.CANCELLED,
    RunStatus.INTERRUPTED,
    RunStatus.OUT_OF_MONEY,
    RunStatus.COMPLETED,
)


KILLED = (
    f"Its process died {MOST_ATTEMPTS} times in a row before a call was written down, so nobody "
    "tries again by themselves. The log of the task workers says more."
)


class ClaimLost(Exception):
    """Somebody else has this shard in hand now."""


class NotResumable(Exception):
    """This run can't be gone on with; the message says why."""


class UnderWay(Exception):
    """The run is not over yet. Cancel it first."""

    status = 409
    code = "under_way"

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


@dataclass(frozen=True, slots=True)
class Claim:
    """A shard in our hands. `done` are the calls that have their row already."""

    run_id: uuid.UUID
    shard_id: int
    number: int
    token: uuid.UUID
    done: frozenset[int]


def create(
    *,
    plan: Plan,
    source: Source,
    owner_id: Any,
    simulated: Iterable[Contender] = (),
    skipped: Mapping[str, str] | None = None,
) -> BenchmarkRun:
    """A run that waits to be carried out: `benchmarks.execution.execute` does."""
    answered = frozenset(simulated)
    row = {"keys": source, **plan_to_json(plan)}
    for shown, contender in zip(row["contenders"], plan.contenders, strict=True):
        shown["simulated"] = contender in answered
    row["skipped"] = [{"provider": who, "reason": why} for who, why in (skipped or {}).items()]
    with transaction.atomic():
        run = BenchmarkRun.objects.create(
            owner_id=owner_id,
            is_simulated=bool(answered),
            schema_version=results.SCHEMA_VERSION,
            plan=row,
            total=len(plan.steps()),
        )
        shards = [BenchmarkShard(run=run, number=number) for number in range(plan.shards)]
        BenchmarkShard.objects.bulk_create(shards)
    return run


def take(run_id: uuid.UUID) -> Claim | None:
    """The next of its shards that nobody carries out. None if there is none. One that killed
    whoever tried, time and again, ends as failed instead."""
    now, token = timezone.now(), uuid.uuid4()
    while True:
        with transaction.atomic():
            run = BenchmarkRun.objects.select_for_update().get(pk=run_id)
            shard = BenchmarkShard.objects.free(now).filter(run=run).order_by("number").first()
            if shard is None or run.status not in UNDER_WAY:
                return None
            if shard.attempts < MOST_ATTEMPTS:
                return _taken(run, shard, now, token)
        _give_up(shard)


def _taken(run: BenchmarkRun, shard: BenchmarkShard, now: datetime, token: uuid.UUID) -> Claim:
    run.status, run.started_at = RunStatus.RUNNING, run.started_at or now
    run.save(update_fields=["status", "started_at"])
    shard.claim, shard.heartbeat_at, shard.attempts = token, now, shard.attempts + 1
    # Calls that were under way when its process died may have been charged for.
    shard.spent, shard.reserved = shard.spent + shard.reserved, 0
    shard.save(update_fields=["claim", "heartbeat_at", "attempts", "spent", "reserved"])
    done = run.samples.values_list("order", flat=True)
    return Claim(run.pk, shard.pk, shard.number, token, frozenset(done))


def _give_up(shard: BenchmarkShard) -> None:
    """Nobody else begins with what is left of the run either: it would kill them too."""
    free = BenchmarkShard.objects.free(timezone.now()).filter(run_id=shard.run_id)
    free.give_up(RunStatus.FAILED, KILLED)
    finish(shard.run_id)


def beat(claim: Claim) -> bool:
    """Still at it. Returns whether the run should stop; raises ClaimLost."""
    if not _held(claim).update(heartbeat_at=timezone.now()):
        raise ClaimLost
    return BenchmarkRun.objects.filter(pk=claim.run_id, cancel_requested=True).exists()


def write(claim: Claim, taken: Sequence[tuple[Sample, int, int]]) -> None:
    """Rows for calls that have ended: each with what was set aside for it and what it is charged
    with, in billionths of a dollar. Raises ClaimLost."""
    reserved, charged = sum(aside for _, aside, _ in taken), sum(cost for _, _, cost in taken)
    with transaction.atomic():
        changed = _held(claim).update(
            heartbeat_at=timezone.now(),
            reserved=F("reserved") - reserved,
            spent=F("spent") + charged,
            attempts=0,
        )
        if not changed:
            raise ClaimLost
        BenchmarkSample.objects.bulk_create([to_row(claim.run_id, one) for one, _, _ in taken])
        BenchmarkRun.objects.filter(pk=claim.run_id).update(done=F("done") + len(taken))


def refuse(claim: Claim, place: int, reason: str) -> None:
    """A contender has to be left out, in all shards alike."""
    with transaction.atomic():
        run = BenchmarkRun.objects.select_for_update().get(pk=claim.run_id)
        run.refused[str(place)] = reason
        run.save(update_fields=["refused"])


def mean_seconds(claim: Claim) -> float:
    """What the measured calls of the run took so far, on average; 0 without any."""
    rows = BenchmarkSample.objects.filter(run_id=claim.run_id, is_cold=False)
    return float(rows.aggregate(mean=Avg("latency_ms"))["mean"] or 0.0) / 1000


def note_harness(claim: Claim, errors: Mapping[int, Sequence[Error]]) -> None:
    """How exact the stopwatch is in this shard's process."""
    found = {str(level): [astuple(error) for error in some] for level, some in errors.items()}
    _held(claim).update(harness=found)


def end(claim: Claim, status: RunStatus, error: str = "") -> None:
    """Gives the shard back for good; the last one ends the run. Raises ClaimLost."""
    changed = _held(claim).update(
        ended_at=timezone.now(),
        ended_as=status,
        error=error,
        spent=F("spent") + F("reserved"),
        reserved=0,
    )
    if not changed:
        raise ClaimLost
    if status != RunStatus.COMPLETED:  # no reason to begin with another one then
        unbegun = BenchmarkShard.objects.filter(run_id=claim.run_id, claim=None).open()
        unbegun.update(ended_at=timezone.now(), ended_as=status, error=error)
    finish(claim.run_id)


def abandon(run_id: uuid.UUID) -> None:
    """Ends the shards that are still open, for who knows that nobody carries them out."""
    shards = BenchmarkShard.objects.filter(run_id=run_id).open()
    shards.give_up(RunStatus.FAILED, "A worker process has died.")
    finish(run_id)


def cancel(run_id: uuid.UUID) -> bool:
    """Asks a run to stop after the calls under way. False if it is over already."""
    with transaction.atomic():
        run = BenchmarkRun.objects.select_for_update().get(pk=run_id)
        if run.status not in UNDER_WAY:
            return False
        run.cancel_requested = True
        run.save(update_fields=["cancel_requested"])
        unheld = run.shards.free(timezone.now())
        unheld.update(ended_at=timezone.now(), ended_as=RunStatus.CANCELLED)
    finish(run_id)
    return True


def reopen(run_id: uuid.UUID, *, max_cost: Decimal | None = None) -> BenchmarkRun:
    """Makes a run that stopped early ready to be gone on with, `max_cost` in place of its limit
    if one is given. Raises NotResumable, and BenchmarkRun.DoesNotExist."""
    with transaction.atomic():
        run = BenchmarkRun.objects.select_for_update().get(pk=run_id)
        now = timezone.now()
        if run.shards.held(now).exists():
            raise NotResumable(
                f"Run {run_id} is being carried out, or was until less than "
                f"{LOST_AFTER.total_seconds():.0f} seconds ago: try again then."
            )
        if not run.shards.exists():
            raise NotResumable(f"Run {run_id} is from before runs could be resumed.")
        if run.done >= run.total:
            raise NotResumable(f"Nothing is left to do of run {run_id}.")
        run.status, run.cancel_requested, run.error = RunStatus.PENDING, False, ""
        run.finished_at = None
        if max_cost is not None:
            run.plan["max_cost_usd"] = f"{max_cost:f}"
        run.save()
        run.shards.update(
            claim=None,
            ended_at=None,
            ended_as="",
            error="",
            attempts=0,
            spent=F("spent") + F("reserved"),
            reserved=0,
        )
    return run


def delete(run_id: uuid.UUID) -> None:
    """With its calls; what they cost stays in the ledger. Raises UnderWay, and
    BenchmarkRun.DoesNotExist."""
    with transaction.atomic():
        run = BenchmarkRun.objects.select_for_update().get(pk=run_id)
        if run.is_under_way or run.shards.held(timezone.now()).exists():
            raise UnderWay
        label = f"of {run.created_at:%Y-%m-%d %H:%M} UTC, {run.done} calls"
        run.delete()
        run.pk = run_id  # for the trail
        record(Action.BENCHMARK_DELETE, run, detail=label)


def _held(claim: Claim) -> Any:
    return BenchmarkShard.objects.filter(pk=claim.shard_id, claim=claim.token, ended_at=None)


def finish(run_id: uuid.UUID) -> None:
    """Once all shards have ended: writes what the whole run comes to, from all its calls. Done
    twice, by two shards that end at once, it does no harm."""
    row = BenchmarkRun.objects.get(pk=run_id)
    shards = list(row.shards.all())
    if row.status not in UNDER_WAY or any(shard.ended_at is None for shard in shards):
        return
    row.status = next(word for word in WORST_FIRST if any(s.ended_as == word for s in shards))
    row.error = " ".join(dict.fromkeys(shard.error for shard in shards if shard.error))
    row.finished_at = timezone.now()
    run = load(row)
    row.environment = results.environment()
    found = results.outcome(run)
    row.summary, row.sweep, row.verdicts = found["summary"], found["sweep"], found["verdicts"]
    row.harness_error = found["harness_error_ms"]
    row.schema_version = results.SCHEMA_VERSION
    far = [sample.step.order for sample in outlying(run.measured)]
    with transaction.atomic():
        row.save()
        row.samples.filter(is_outlier=True).update(is_outlier=False)
        for at in range(0, len(far), 500):
            row.samples.filter(order__in=far[at : at + 500]).update(is_outlier=True)


def run_of(run_id: uuid.UUID) -> Run:
    """What the database knows of a run, with all its samples."""
    return load(BenchmarkRun.objects.get(pk=run_id))
