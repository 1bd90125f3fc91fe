"""The results as a JSON file: docs/reference/benchmark-json.md describes each field.

Bump `SCHEMA_VERSION` when a field changes its meaning or goes away, not when one is added.
"""

from __future__ import annotations

import platform
import tomllib
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from django.conf import settings

from benchmarks.plan import Contender
from benchmarks.plan_json import plan_to_json
from benchmarks.result_rows import (
    change_rows,
    harness_row,
    rounded,
    summary_rows,
    sweep_rows,
    verdict_rows,
)
from benchmarks.rows import PREVIEW_CHARACTERS
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import outlying
from providers.redaction import redact

SCHEMA_VERSION = 4
PACKAGES = ("openai", "anthropic", "google-genai", "httpx2", "genai-prices", "django")

TIMES = (
    "latency_ms", "ttft_ms", "first_event_ms", "first_visible_ms", "last_token_ms", "prepare_ms",
    "connect_ms", "wait_ms",
)  # fmt: skip
JSON = dict[str, Any]


def document(run: Run, known: JSON | None = None) -> JSON:
    """`known` is what the samples were found to come to before, if they were: with many of them
    that takes seconds."""
    return {
        "schema": "byom-benchmark",
        "schema_version": SCHEMA_VERSION,
        "run_id": str(run.id),
        "status": run.status,
        "error": redact(run.error),
        "simulated": run.any_simulated,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "plan": plan_row(run),
        "prices": prices(run),
        "environment": dict(run.environment) or environment(),
        "samples": samples(run),
        **(known or outcome(run)),
        "compared_with": run.baseline.name if run.baseline else None,
        "changes": change_rows(run),
    }


def outcome(run: Run) -> JSON:
    """What the samples come to."""
    return {
        "summary": summary_rows(run),
        "sweep": sweep_rows(run),
        "verdicts": verdict_rows(run),
        "harness_error_ms": harness_row(run),
    }


def plan_row(run: Run) -> JSON:
    refused = [
        {"provider": contender.provider, "reason": redact(reason)}
        for contender, reason in run.refused.items()
    ]
    row = {"keys": run.source, **plan_to_json(run.plan)}
    for shown, contender in zip(row["contenders"], run.plan.contenders, strict=True):
        shown["simulated"] = run.is_simulated(contender)
    skipped = [{"provider": name, "reason": why} for name, why in run.skipped.items()]
    return {**row, "skipped": skipped + refused}


def prices(run: Run) -> list[JSON]:
    """Those that were used, of each contender: usually one list, more where they are by tiers."""
    found: dict[tuple[Contender, str, str], JSON] = {}
    for sample in run.samples:
        bill, contender = sample.bill, sample.step.contender
        if bill.price_source:
            key = (contender, bill.price_source, repr(bill.unit_prices))
            row = {"unit_prices": bill.unit_prices, "price_source": bill.price_source}
            day = sample.started_at.date().isoformat()
            found.setdefault(key, {**asdict(contender), **row, "as_of": day})
    return list(found.values())


def environment() -> JSON:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text("utf-8"))
    return {
        "byom": project["project"]["version"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: version(name) for name in PACKAGES},
    }


def samples(run: Run) -> list[JSON]:
    """A row per call, in the order in which they ended."""
    far = {id(sample) for sample in outlying(run.measured)}
    return [_sample(sample, id(sample) in far) for sample in run.samples]


def _sample(sample: Sample, is_outlier: bool) -> JSON:
    step, bill, truth = sample.step, sample.bill, sample.truth
    row: JSON = {
        "order": step.order,
        "block": step.block,
        "provider": step.contender.provider,
        "model": step.contender.model,
        "credential": step.contender.credential,
        "model_served": sample.model_served,
        "prompt": step.prompt.name,
        "run": step.run,
        "concurrency": step.level,
        "cold": step.cold,
        "outlier": is_outlier,
        "simulated": sample.is_simulated,
        "started_at": sample.started_at.isoformat(),
        "status": sample.status,
        "error_code": sample.error_code,
        "error": redact(sample.error),
        "finish_reason": sample.finish_reason,
        "time_s": sample.time_s,
        **{name: getattr(sample, name) for name in TIMES},
        "itl_ms": sample.itl_ms,
        "tokens_per_s": sample.tokens_per_s,
        "true_latency_ms": truth.latency_ms if truth else None,
        "true_ttft_ms": truth.ttft_ms if truth else None,
        **asdict(bill),
        "cost_usd": None if bill.cost_usd is None else f"{bill.cost_usd:f}",
        "counted_tokens": sample.counted_tokens,
        "passed": sample.passed,
        "failed_checks": list(sample.failed_checks),
        "preview": redact(sample.text)[:PREVIEW_CHARACTERS],
        "record_id": str(sample.record_id),
    }
    return rounded(row)
