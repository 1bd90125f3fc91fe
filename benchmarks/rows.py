"""Samples and runs as rows of the database, and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.models import BenchmarkRun, BenchmarkSample, RunStatus
from benchmarks.plan import Contender, Plan, Step
from benchmarks.plan_json import plan_from_json
from benchmarks.run import Run, Source
from benchmarks.sample import Bill, Error, Sample, Truth
from providers.redaction import redact

PREVIEW_CHARACTERS = 200
SAME = (
    "started_at", "record_id", "status", "latency_ms", "ttft_ms", "first_event_ms",
    "first_visible_ms", "last_token_ms", "prepare_ms", "connect_ms", "wait_ms", "model_served",
    "is_simulated", "finish_reason", "error_code", "passed", "counted_tokens",
)  # fmt: skip
BILL = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "usage_source", "cost_usd", "unit_prices", "price_source", "paid_by",
)  # fmt: skip


def to_row(run_id: uuid.UUID, sample: Sample) -> BenchmarkSample:
    """Without what looks like a key, and with the beginning of the answer only."""
    step, truth = sample.step, sample.truth
    return BenchmarkSample(
        run_id=run_id,
        order=step.order,
        block=step.block,
        provider=step.contender.provider,
        model=step.contender.model[:128],
        credential_id=uuid.UUID(step.contender.credential) if step.contender.credential else None,
        prompt=step.prompt.name,
        round=step.run,
        level=step.level,
        is_cold=step.cold,
        error=redact(sample.error),
        preview=redact(sample.text)[:PREVIEW_CHARACTERS],
        failed_checks=list(sample.failed_checks),
        true_ttft_ms=truth.ttft_ms if truth else None,
        true_latency_ms=truth.latency_ms if truth else None,
        **{name: getattr(sample, name) for name in SAME},
        **{name: getattr(sample.bill, name) for name in BILL},
    )


def from_row(row: BenchmarkSample, step: Step) -> Sample:
    """`text` is only the beginning of the answer then."""
    truth = None
    if row.true_ttft_ms is not None and row.true_latency_ms is not None:
        truth = Truth(row.true_ttft_ms, row.true_latency_ms)
    return Sample(
        step=step,
        text=row.preview,
        error=row.error,
        failed_checks=tuple(row.failed_checks),
        truth=truth,
        bill=Bill(**{name: getattr(row, name) for name in BILL}),
        **{name: getattr(row, name) for name in SAME},
    )


def load(row: BenchmarkRun) -> Run:
    """The run with all its samples, in the order in which they began."""
    plan = plan_from_json(row.plan)
    samples = row.samples.order_by("started_at", "order").iterator(chunk_size=2_000)
    run, step_of = bare(row, plan), _step_reader(plan)
    run.samples = [from_row(sample, step_of(sample)) for sample in samples]
    return run


def _step_reader(plan: Plan) -> Callable[[BenchmarkSample], Step]:
    contenders = {(one.provider, one.model[:128], one.credential): one for one in plan.contenders}
    prompts = {prompt.name: prompt for prompt in plan.prompts}

    def step_of(row: BenchmarkSample) -> Step:
        key = str(row.credential_id or "")
        return Step(
            order=row.order,
            contender=contenders[row.provider, row.model, key],
            prompt=prompts[row.prompt],
            run=row.round,
            cold=row.is_cold,
            level=row.level,
            block=row.block,
        )

    return step_of


def bare(row: BenchmarkRun, plan: Plan | None = None) -> Run:
    """The run without its samples."""
    plan = plan or plan_from_json(row.plan)
    return Run(
        plan=plan,
        source=Source(row.plan["keys"]),
        id=row.pk,
        owner_id=row.owner_id,
        status=RunStatus(row.status),
        error=row.error,
        simulated=_simulated(plan.contenders, row.plan["contenders"]),
        skipped={one["provider"]: one["reason"] for one in row.plan["skipped"]},
        refused={plan.contenders[int(at)]: reason for at, reason in row.refused.items()},
        harness=_harness(row),
        environment=row.environment,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _harness(row: BenchmarkRun) -> dict[int, list[Error]]:
    """All shards' together."""
    found: dict[int, list[Error]] = {}
    for harness in row.shards.values_list("harness", flat=True):
        for level, errors in harness.items():
            found.setdefault(int(level), []).extend(Error(*error) for error in errors)
    return found


def _simulated(
    contenders: Iterable[Contender], rows: Iterable[Mapping[str, Any]]
) -> frozenset[Contender]:
    found = zip(contenders, rows, strict=True)
    return frozenset(contender for contender, row in found if row["simulated"])
