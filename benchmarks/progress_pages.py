"""How far a run is, and what can be done about one that stopped early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count, Q, Sum
from django.utils import timezone

from benchmarks.budget import NANO
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.pages import naming

SLOW_TO_START = timedelta(seconds=45)
WAITS_LONG = (
    "No worker has taken it yet. Another run may be going on: they wait for one another, so that "
    "none measures the other. If it stays like this, ask the operator whether the task workers run."
)
PREPARES = "It loads the providers’ SDKs and tests its stopwatch first: a few seconds."
ADVICE: Mapping[str, str] = {
    RunStatus.OUT_OF_MONEY: "Go on with a higher limit, or with the same one if a budget of yours "
    "has room again. No call is made twice.",
    RunStatus.INTERRUPTED: "Go on with it: no call is made twice.",
    RunStatus.CANCELLED: "You can go on with it: no call is made twice.",
    RunStatus.FAILED: "Try to go on with it; if it fails again, tell the operator its id.",
}


@dataclass(frozen=True, slots=True)
class SoFar:
    """What a contender has done."""

    name: str
    calls: int
    failed: int


@dataclass(frozen=True, slots=True)
class Progress:
    """`note` says what is odd, `advice` what to do; each is empty where there is nothing to say."""

    percent: int
    spent: Decimal
    contenders: list[SoFar]
    refused: list[tuple[str, str]]
    note: str
    advice: str
    can_go_on: bool


def progress_of(run: BenchmarkRun) -> Progress:
    held = run.shards.aggregate(spent=Sum("spent", default=0), reserved=Sum("reserved", default=0))
    missing = run.done < run.total and run.shards.exists()
    name = naming(run.plan)
    contenders = run.plan["contenders"]
    return Progress(
        percent=min(100 * run.done // max(run.total, 1), 100),
        spent=Decimal(held["spent"]) / NANO,
        contenders=_so_far(run),
        refused=[(name(contenders[int(at)]), why) for at, why in run.refused.items()],
        note=_note(run),
        advice=ADVICE.get(run.status, "") if missing else "",
        can_go_on=missing and run.status in ADVICE,
    )


def _so_far(run: BenchmarkRun) -> list[SoFar]:
    name = naming(run.plan)
    rows = run.samples.values("provider", "model", "credential_id").annotate(
        calls=Count("pk"), failed=Count("pk", filter=~Q(status="ok"))
    )
    found = {_key(r["provider"], r["model"], r["credential_id"]): r for r in rows.order_by()}
    return [
        SoFar(name(one), row["calls"] if row else 0, row["failed"] if row else 0)
        for one in run.plan["contenders"]
        for row in [found.get(_key(one["provider"], one["model"], one.get("credential")))]
    ]


def _key(provider: str, model: str, credential: object) -> tuple[str, str, str]:
    return provider, model, str(credential or "")


def _note(run: BenchmarkRun) -> str:
    if run.status == RunStatus.RUNNING and not run.done:
        return PREPARES
    return WAITS_LONG if _waits_long(run) else run.error


def _waits_long(run: BenchmarkRun) -> bool:
    waiting = run.status == RunStatus.PENDING and run.in_background
    return waiting and run.created_at < timezone.now() - SLOW_TO_START
