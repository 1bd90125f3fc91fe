"""Making the runs that schedules ask for, each once, however many servers look."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from benchmarks import background
from benchmarks.models import BenchmarkRun, BenchmarkSchedule
from benchmarks.plan import Plan
from benchmarks.plan_json import plan_from_json, plan_to_json
from benchmarks.plan_rules import BadPlan
from benchmarks.rhythm import Rhythm
from benchmarks.run import Source
from benchmarks.starting import StartError, create

logger = logging.getLogger(__name__)


class Skipped(Exception):
    """No run is made this time; the message says why."""


def make(*, owner: Any, rhythm: Rhythm, plan: Plan) -> BenchmarkSchedule:
    """A schedule for the owner's own keys, named after its rhythm."""
    return BenchmarkSchedule.objects.create(
        owner=owner,
        name=str(rhythm).capitalize(),
        plan={"keys": Source.USER, **plan_to_json(plan)},
        every=rhythm.every,
        hours=rhythm.hours,
        at=rhythm.at,
        weekday=rhythm.weekday,
        time_zone=rhythm.zone,
        next_at=rhythm.after(timezone.now()),
    )


def start_due() -> int:
    """Starts what is due. For a timer; returns how many runs it started."""
    due = BenchmarkSchedule.objects.due(timezone.now()).select_related("owner", "access_token")
    runs = [run for schedule in due if (run := _take(schedule))]
    for run in runs:
        background.enqueue(run.pk)
    return len(runs)


@transaction.atomic
def _take(schedule: BenchmarkSchedule) -> BenchmarkRun | None:
    """The time that is due is taken and its run is made, or neither."""
    following = schedule.rhythm.following(schedule.next_at, timezone.now())
    if not BenchmarkSchedule.objects.claim(schedule, following):
        return None
    run, note = None, ""
    try:
        run = _create(schedule)
    except (Skipped, BadPlan, StartError) as reason:
        note = str(reason)
        logger.info("Schedule %s was skipped: %s", schedule.pk, type(reason).__name__)
    BenchmarkSchedule.objects.filter(pk=schedule.pk).update(note=note)
    return run


def _create(schedule: BenchmarkSchedule) -> BenchmarkRun:
    """Raises Skipped, BadPlan and StartError."""
    token = schedule.access_token
    if not schedule.owner.is_active:
        raise Skipped("The account is switched off.")
    if token and token.state != "active":
        raise Skipped(f"The access token “{token.name}”, which made this, is {token.state}.")
    if BenchmarkRun.objects.under_way().filter(schedule=schedule).exists():
        raise Skipped("The run before was not finished yet.")
    return create(
        plan=plan_from_json(schedule.plan),
        source=Source(schedule.plan["keys"]),
        user=schedule.owner,
        token=token,
        schedule=schedule,
    )
