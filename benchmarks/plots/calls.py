"""Measured calls as the plots need them: few fields, read in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender

FIELDS = (
    "provider", "model", "credential_id", "prompt", "level", "status", "latency_ms", "ttft_ms",
    "cost_usd", "output_tokens",
)  # fmt: skip

Time = Literal["latency_ms", "ttft_ms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Times in milliseconds, the cost in dollars; None where unknown. Warm-ups are none. `level`
    is how many calls may have been under way."""

    contender: Contender
    prompt: str
    level: int = 1
    ok: bool
    latency_ms: float
    ttft_ms: float | None
    cost_usd: float | None
    output_tokens: int = 0


def calls_of(run: BenchmarkRun) -> list[Call]:
    """All that were measured, in the order of the plan."""
    rows = run.samples.filter(is_cold=False).order_by("order").values_list(*FIELDS)
    return [_call(row) for row in rows.iterator(chunk_size=5_000)]


def _call(row: Sequence[Any]) -> Call:
    provider, model, credential, prompt, level, status, latency, first, cost, tokens = row
    return Call(
        contender=Contender(provider, model, str(credential or "")),
        prompt=prompt,
        level=level,
        ok=status == "ok",
        latency_ms=latency,
        ttft_ms=first,
        cost_usd=None if cost is None else float(cost),
        output_tokens=tokens,
    )


def times(calls: Iterable[Call], which: Time) -> list[float]:
    """Of the calls that succeeded, ascending."""
    found = (getattr(call, which) for call in calls if call.ok)
    return sorted(value for value in found if value is not None)
