"""Makes samples and runs that nobody measured, for tests of what is done with them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from benchmarks import store
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.run import Run, Source
from benchmarks.sample import Bill, Sample

OPENAI = Contender("openai", "gpt-4o-mini")
GOOGLE = Contender("google", "gemini-2.5-flash")
ANTHROPIC = Contender("anthropic", "claude-haiku-4-5")
STARTED = datetime(2025, 1, 17, 14, 35, 22, tzinfo=UTC)


def sample(
    contender: Contender = OPENAI,
    *,
    seconds: float = 1.0,
    cost: str | None = "0.000010",
    prompt: Prompt = PROMPTS[0],
    run: int = 1,
    cold: bool = False,
    text: str = "Paris",
    error: str = "",
    **fields: Any,
) -> Sample:
    times = {
        "latency_ms": seconds * 1000,
        "last_token_ms": seconds * 1000,
        "ttft_ms": seconds * 500,
        "first_visible_ms": seconds * 500,
    }
    bill = Bill(
        input_tokens=10,
        output_tokens=5,
        usage_source="reported",
        cost_usd=None if cost is None else Decimal(cost),
        paid_by="system",
    )
    return Sample(
        step=Step(0, contender, prompt, run, cold),
        started_at=STARTED,
        record_id=uuid.uuid4(),
        status="error" if error else "ok",
        error_code="overloaded" if error else "",
        text=text,
        error=error,
        **{"bill": bill, **times, **fields},
    )


def run_of(*samples: Sample, simulated: bool = False, skipped: dict[str, str] | None = None) -> Run:
    contenders = tuple(dict.fromkeys(taken.step.contender for taken in samples))
    return Run(
        plan=Plan(contenders=contenders, seed=7),
        source=Source.SIMULATOR if simulated else Source.ENVIRONMENT,
        status=RunStatus.COMPLETED,
        simulated=frozenset(contenders) if simulated else frozenset(),
        skipped=skipped or {},
        started_at=STARTED,
        finished_at=STARTED,
        samples=[*samples],
    )


def kept(run: Run, status: RunStatus = RunStatus.COMPLETED) -> BenchmarkRun:
    """The run as the database has it once it was carried out; its calls numbered anew."""
    row = store.create(
        plan=run.plan, source=run.source, owner_id=run.owner_id, simulated=run.simulated
    )
    claim = store.take(row.pk)
    assert claim is not None
    run.samples = [
        replace(one, step=replace(one.step, order=order, block=order))
        for order, one in enumerate(run.samples)
    ]
    store.write(claim, [(one, 0, 0) for one in run.samples])
    store.end(claim, status)
    row.refresh_from_db()
    return row
