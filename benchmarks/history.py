"""Keeping a run that was made, in one transaction."""

from __future__ import annotations

from django.db import transaction

from benchmarks import results
from benchmarks.models import BenchmarkRun, BenchmarkSample, RunStatus
from benchmarks.runner import Run
from benchmarks.summary import outlying

BATCH = 1_000


@transaction.atomic
def keep(run: Run) -> BenchmarkRun:
    """Writes the run and a row for each of its calls. It belongs to whose keys were used."""
    document = results.document(run)
    kept = BenchmarkRun.objects.create(
        id=run.id,
        owner_id=run.caller.user_id,
        status=_status(run),
        is_simulated=run.keys.is_simulated,
        started_at=run.started_at,
        finished_at=run.finished_at,
        **{
            name: document[name]
            for name in ("schema_version", "plan", "environment", "summary", "verdicts")
        },
    )
    BenchmarkSample.objects.bulk_create(_rows(run), batch_size=BATCH)
    return kept


def _status(run: Run) -> RunStatus:
    if run.interrupted:
        return RunStatus.INTERRUPTED
    return RunStatus.OUT_OF_MONEY if run.out_of_money else RunStatus.COMPLETED


def _rows(run: Run) -> list[BenchmarkSample]:
    far = {id(sample) for sample in outlying(run.measured)}
    return [
        BenchmarkSample(
            run_id=run.id,
            order=sample.step.order,
            block=sample.step.order // len(run.plan.contenders),
            provider=sample.step.contender.provider,
            model=sample.step.contender.model[:128],
            prompt=sample.step.prompt.name,
            round=sample.step.run,
            is_cold=sample.step.cold,
            is_outlier=id(sample) in far,
            started_at=sample.started_at,
            status=sample.record.status,
            error_code=sample.record.error_code,
            latency_ms=sample.latency_ms,
            ttft_ms=sample.ttft_ms,
            last_token_ms=sample.last_token_ms,
            input_tokens=sample.record.input_tokens,
            output_tokens=sample.record.output_tokens,
            cost_usd=sample.record.cost_usd,
            record_id=sample.record.pk,
        )
        for sample in run.samples
    ]
