"""Measured calls as the plots need them: few fields, read in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender
from providers import registry

FIELDS = ("provider", "model", "prompt", "status", "latency_ms", "ttft_ms", "cost_usd")

Time = Literal["latency_ms", "ttft_ms"]


@dataclass(frozen=True, slots=True)
class Call:
    """Times in milliseconds, the cost in dollars; None where unknown. Warm-ups are none."""

    contender: Contender
    prompt: str
    ok: bool
    latency_ms: float
    ttft_ms: float | None
    cost_usd: float | None


def calls_of(run: BenchmarkRun) -> list[Call]:
    """All that were measured, in the order of the plan."""
    rows = run.samples.filter(is_cold=False).order_by("order").values_list(*FIELDS)
    return [_call(row) for row in rows.iterator(chunk_size=5_000)]


def _call(row: Sequence[Any]) -> Call:
    provider, model, prompt, status, latency, first, cost = row
    known = None if cost is None else float(cost)
    return Call(Contender(provider, model), prompt, status == "ok", latency, first, known)


def times(calls: Iterable[Call], which: Time) -> list[float]:
    """Of the calls that succeeded, ascending."""
    found = (getattr(call, which) for call in calls if call.ok)
    return sorted(value for value in found if value is not None)


def name(contender: Contender) -> str:
    return f"{registry.label(contender.provider)} {contender.model}"
