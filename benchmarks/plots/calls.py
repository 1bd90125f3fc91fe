"""Measured calls as the plots need them: few fields, read in one query."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, NamedTuple

from django.db.models import FloatField
from django.db.models.functions import Cast

from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender

FIELDS = (
    "provider", "model", "credential_id", "prompt", "level", "status", "latency_ms", "ttft_ms",
    "cost",
)  # fmt: skip

Time = Literal["latency_ms", "ttft_ms"]


class Call(NamedTuple):
    """Times in milliseconds, the cost in dollars; None where unknown. Warm-ups are none. `level`
    is how many calls may have been under way. A tuple, as there are many."""

    contender: Contender
    prompt: str
    level: int
    ok: bool
    latency_ms: float
    ttft_ms: float | None
    cost_usd: float | None


def calls_of(run: BenchmarkRun) -> list[Call]:
    """All that were measured, in the order of the plan. Costs as floats from the database: making
    decimals of ten thousand of them takes a tenth of a second, and a plot can't show it."""
    cost = Cast("cost_usd", FloatField())
    rows = run.samples.filter(is_cold=False).order_by("order").annotate(cost=cost)
    known = cache(_contender)
    return [
        Call(known(provider, model, key), prompt, level, status == "ok", latency, first, cost)
        for provider, model, key, prompt, level, status, latency, first, cost in rows.values_list(
            *FIELDS
        )
    ]


def _contender(provider: str, model: str, credential: Any) -> Contender:
    return Contender(provider, model, str(credential or ""))


def times(calls: Iterable[Call], which: Time) -> list[float]:
    """Of the calls that succeeded, ascending."""
    found = (getattr(call, which) for call in calls if call.ok)
    return sorted(value for value in found if value is not None)
