"""Runs that task workers carry out, and runs whose process has died.

What is left to do stands in the database, so a run survives the loss of a task: the periodic job
`look_after` finds it and hands it out again.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from benchmarks import store
from benchmarks.models import UNDER_WAY, BenchmarkRun, BenchmarkShard, RunStatus
from benchmarks.tasks import carry_out

AGAIN_AFTER = timedelta(seconds=60)
LOST = "Its process has died. What was measured is kept; you can go on with it."


def enqueue(run_id: uuid.UUID) -> None:
    """A task for each share that nobody has in hand. One too many does no harm."""
    free = BenchmarkShard.objects.free(timezone.now()).filter(run_id=run_id)
    for _ in range(free.count()):
        carry_out.enqueue(str(run_id))


def go_on(run_id: uuid.UUID) -> None:
    """Hands out a run that was reopened, whoever had carried it out."""
    now = timezone.now()
    BenchmarkRun.objects.filter(pk=run_id).update(in_background=True, enqueued_at=now)
    enqueue(run_id)


def look_after() -> int:
    """Hands out the runs that wait for a worker, or whose worker has died, and ends those that
    somebody made at a command line that has died. For a timer; returns how many it found."""
    now = timezone.now()
    return sum(map(_again, _waiting(now))) + sum(map(_interrupt, _abandoned(now)))


def _waiting(now: datetime) -> list[BenchmarkRun]:
    shards = BenchmarkShard.objects.free(now)
    rows = BenchmarkRun.objects.under_way().filter(in_background=True, shards__in=shards)
    told_long_ago = Q(enqueued_at=None) | Q(enqueued_at__lt=now - AGAIN_AFTER)
    return list(rows.filter(told_long_ago).distinct().light())


def _again(run: BenchmarkRun) -> bool:
    """By whichever server process is the first to say so."""
    same = BenchmarkRun.objects.filter(pk=run.pk, enqueued_at=run.enqueued_at)
    if not same.update(enqueued_at=timezone.now()):
        return False
    enqueue(run.pk)
    return True


def _abandoned(now: datetime) -> list[uuid.UUID]:
    shards = BenchmarkShard.objects.lost(now)
    rows = shards.filter(run__in_background=False, run__status__in=UNDER_WAY)
    return list(rows.order_by("run_id").values_list("run_id", flat=True).distinct())


def _interrupt(run_id: uuid.UUID) -> bool:
    lost = BenchmarkShard.objects.lost(timezone.now()).filter(run_id=run_id)
    ended = lost.give_up(RunStatus.INTERRUPTED, LOST)
    store.finish(run_id)
    return bool(ended)
