"""The results as a JSON file: docs/reference/benchmark-json.md describes each field.

Bump `SCHEMA_VERSION` when a field changes its meaning or goes away, not when one is added.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import tomllib
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings

from benchmarks.changes import Changed, changes
from benchmarks.measure import Sample
from benchmarks.plan import Contender
from benchmarks.runner import Run
from benchmarks.statistics import Estimate, TooFew
from benchmarks.summary import (
    Centre,
    Distribution,
    distribution,
    figures,
    first_tokens,
    harness_error,
    latencies,
    outlying,
)
from benchmarks.verdicts import Verdict, verdicts
from providers.redaction import redact

SCHEMA_VERSION = 2
PREVIEW_CHARACTERS = 200
PACKAGES = ("openai", "anthropic", "google-genai", "httpx2", "genai-prices", "django")

JSON = dict[str, Any]


class BadOutput(ValueError):
    """The results can't be written there; the message says why."""


def destination(output: str, at: datetime) -> Path:
    """The file for a run that starts at `at`. A name that ends in .json is a file, any other a
    directory, made if need be. Raises BadOutput now rather than after an hour of calls."""
    path = Path(output)
    try:
        if path.suffix != ".json":
            path.mkdir(parents=True, exist_ok=True)
            path = _free(path / f"benchmark_results_{at:%Y%m%d_%H%M%S}.json")
        elif path.exists():
            raise BadOutput(f"{path} exists already, and results are never overwritten.")
    except OSError as error:
        raise BadOutput(f"{path} can't be used for results: {error.strerror}.") from None
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadOutput(f"{path.parent} is not a directory that can be written to.")
    return path


def save(path: Path, document: JSON) -> Path:
    """Writes the file whole or not at all; should the name have been taken since, under the
    next free one, which is returned. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".benchmark_", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2, ensure_ascii=False)
            file.write("\n")
        target = _claim(path)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _claim(path: Path) -> Path:
    while True:
        target = _free(path)
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            continue
        return target


def _free(path: Path) -> Path:
    target, number = path, 2
    while target.exists():
        target = path.with_stem(f"{path.stem}_{number}")
        number += 1
    return target


def document(run: Run) -> JSON:
    error = harness_error(run.measured)
    return {
        "schema": "byom-benchmark",
        "schema_version": SCHEMA_VERSION,
        "run_id": str(run.id),
        "simulated": run.keys.is_simulated,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "interrupted": run.interrupted,
        "budget_reached": bool(run.out_of_money),
        "plan": plan_row(run),
        "environment": _environment(),
        "samples": samples(run),
        "summary": list(map(_rounded, _summary(run))),
        "verdicts": verdict_rows(run),
        "compared_with": run.baseline.name if run.baseline else None,
        "changes": [_rounded(_change(one)) for one in changes(run)],
        "harness_error_ms": _rounded(asdict(error)) if error else None,
    }


def plan_row(run: Run) -> JSON:
    plan = run.plan
    refused = [
        {"provider": contender.provider, "reason": redact(reason)}
        for contender, reason in run.refused.items()
    ]
    skipped = [{"provider": name, "reason": why} for name, why in run.keys.skipped.items()]
    return {
        "keys": run.keys.source,
        "contenders": [
            {**asdict(contender), "simulated": run.is_simulated(contender)}
            for contender in plan.contenders
        ],
        "skipped": skipped + refused,
        "prompts": [{"name": prompt.name, "text": prompt.text} for prompt in plan.prompts],
        "runs": plan.runs,
        "warmup": plan.warmup,
        "seed": plan.seed,
        "max_tokens": plan.max_tokens,
        "timeout_s": plan.timeout,
        "concurrency": plan.concurrency,
        "max_cost_usd": None if plan.max_cost is None else f"{plan.max_cost:f}",
        "slo": {"ttft_ms": run.slo.ttft, "e2e_ms": run.slo.e2e} if run.slo else None,
        "retries": 0,
    }


def _environment() -> JSON:
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
    step, record, truth = sample.step, sample.record, sample.truth
    row: JSON = {
        "order": step.order,
        "provider": step.contender.provider,
        "model": step.contender.model,
        "model_served": record.model_served,
        "prompt": step.prompt.name,
        "run": step.run,
        "cold": step.cold,
        "outlier": is_outlier,
        "simulated": record.is_simulated,
        "started_at": sample.started_at.isoformat(),
        "status": record.status,
        "error_code": record.error_code,
        "error": redact(sample.error),
        "finish_reason": str(sample.finish_reason),
        "time_s": sample.time_s,
        "latency_ms": sample.latency_ms,
        "ttft_ms": sample.ttft_ms,
        "last_token_ms": sample.last_token_ms,
        "prepare_ms": sample.prepare_ms,
        "true_latency_ms": truth.latency_ms if truth else None,
        "true_ttft_ms": truth.ttft_ms if truth else None,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "cache_read_tokens": record.cache_read_tokens,
        "cache_write_tokens": record.cache_write_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "usage_source": record.usage_source,
        "cost_usd": None if record.cost_usd is None else f"{record.cost_usd:f}",
        "price_source": record.price_source,
        "preview": redact(sample.text)[:PREVIEW_CHARACTERS],
        "paid_by": record.paid_by,
        "record_id": str(record.pk),
    }
    return _rounded(row)


def _summary(run: Run) -> list[JSON]:
    """One entry per contender and prompt, then one per contender for all prompts together."""
    return [
        _entry(run, contender, prompt)
        for prompt in (*(prompt.name for prompt in run.plan.prompts), None)
        for contender in run.contenders
    ]


def _entry(run: Run, contender: Contender, prompt: str | None) -> JSON:
    taken = [
        sample
        for sample in run.measured
        if sample.step.contender == contender and prompt in (None, sample.step.prompt.name)
    ]
    found = figures(taken)
    cost = found.mean.cost_usd if found.mean else None
    return {
        "provider": contender.provider,
        "model": contender.model,
        "prompt": prompt,
        "simulated": run.is_simulated(contender),
        "calls": found.calls,
        "failed": found.failed,
        "mean": _centre(found.mean),
        "median": _centre(found.median),
        "latency_ms": _distribution(distribution(latencies(taken), run.plan.seed)),
        "ttft_ms": _distribution(distribution(first_tokens(taken), run.plan.seed)),
        "cost_per_1000_usd": None if cost is None else f"{cost * 1000:.6f}",
        "outliers": len(outlying(taken)),
        "goodput": run.slo.goodput(taken) if run.slo else None,
    }


def _distribution(found: Distribution | None) -> JSON | None:
    if found is None:
        return None
    percentiles = {f"p{percent}": _estimate(one) for percent, one in found.percentiles.items()}
    return {"mean": _estimate(found.mean), **percentiles}


def _estimate(found: Estimate | TooFew) -> JSON:
    return asdict(found)


def verdict_rows(run: Run) -> list[JSON]:
    """One entry per metric and pair of contenders."""
    return [_rounded(_verdict(found, len(run.plan.prompts))) for found in verdicts(run)]


def _verdict(found: Verdict, prompts: int) -> JSON:
    compared = found.comparison
    return {
        "metric": found.metric.field,
        "first": asdict(found.first),
        "second": asdict(found.second),
        "verdict": found.word,
        "pairs": compared.pairs if compared else 0,
        "unmatched": found.unmatched,
        "ratio": compared.ratio if compared else None,
        "ratio_low": compared.low if compared else None,
        "ratio_high": compared.high if compared else None,
        "difference": compared.difference if compared else None,
        "effect": compared.effect if compared else None,
        "p_value": compared.p_value if compared else None,
        "more_pairs": compared.more if compared else None,
        "more_runs": found.more_runs(prompts),
    }


def _centre(centre: Centre | None) -> JSON | None:
    if centre is None:
        return None
    cost = centre.cost_usd
    return {**asdict(centre), "cost_usd": None if cost is None else f"{cost:.9f}"}


def _change(found: Changed) -> JSON:
    change = found.change
    return {
        "metric": found.metric.field,
        **asdict(found.contender),
        "change": found.word,
        "calls": found.calls,
        "calls_before": found.before,
        "ratio": change.ratio if change else None,
        "effect": change.effect if change else None,
        "p_value": change.p_value if change else None,
    }


def _rounded(values: JSON) -> JSON:
    """Floats to six decimals, at any depth: more digits would be invented."""
    return {
        name: _rounded(value)
        if isinstance(value, dict)
        else round(value, 6)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }
