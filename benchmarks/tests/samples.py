"""Makes samples and runs that nobody measured, for tests of what is done with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from agents.clients import Selection
from benchmarks.keys import Keys, Source, of_simulator
from benchmarks.measure import Sample
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.runner import Run
from usage.ledger import Caller
from usage.models import PaidBy, Status, Surface, UsageRecord, UsageSource

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
    record = UsageRecord(
        surface=Surface.BENCHMARK,
        provider=contender.provider,
        model=contender.model,
        input_tokens=10,
        output_tokens=5,
        usage_source=UsageSource.REPORTED,
        cost_usd=None if cost is None else Decimal(cost),
        latency_ms=seconds * 1000,
        ttft_ms=seconds * 500,
        status=Status.ERROR if error else Status.OK,
        error_code="overloaded" if error else "",
        paid_by=PaidBy.SYSTEM,
    )
    step = Step(0, contender, prompt, run, cold)
    return Sample(step=step, started_at=STARTED, record=record, text=text, error=error, **fields)


def run_of(*samples: Sample, simulated: bool = False, skipped: dict[str, str] | None = None) -> Run:
    contenders = dict.fromkeys(taken.step.contender for taken in samples)
    keys = Keys(
        Source.SIMULATOR if simulated else Source.ENVIRONMENT,
        {contender: _selection(contender, simulated) for contender in contenders},
        skipped or {},
    )
    plan = Plan(contenders=tuple(contenders), seed=7)
    return Run(plan, keys, Caller(surface=Surface.BENCHMARK), STARTED, STARTED, False, [*samples])


def _selection(contender: Contender, simulated: bool) -> Selection:
    found = of_simulator("http://simulator")(contender.provider, contender.model)
    return replace(found, payer=replace(found.payer, is_simulated=simulated))
