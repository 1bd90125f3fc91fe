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
from benchmarks.plan import Contender
from benchmarks.plan_json import plan_to_json
from benchmarks.rows import PREVIEW_CHARACTERS
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.statistics import Estimate, TooFew
from benchmarks.summary import (
    Centre,
    Distribution,
    distribution,
    figures,
    first_tokens,
    harness_error,
    inter_token,
    latencies,
    outlying,
    rates,
)
from benchmarks.verdicts import Verdict, verdicts
from providers.redaction import redact

SCHEMA_VERSION = 3
PACKAGES = ("openai", "anthropic", "google-genai", "httpx2", "genai-prices", "django")

TIMES = (
    "latency_ms", "ttft_ms", "first_event_ms", "first_visible_ms", "last_token_ms", "prepare_ms",
    "connect_ms", "wait_ms",
)  # fmt: skip
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
    error = harness_error(run)
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
        "environment": dict(run.environment) or environment(),
        "samples": samples(run),
        "summary": summary_rows(run),
        "verdicts": verdict_rows(run),
        "compared_with": run.baseline.name if run.baseline else None,
        "changes": [_rounded(_change(one)) for one in changes(run)],
        "harness_error_ms": _rounded(asdict(error)) if error else None,
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
        "passed": sample.passed,
        "failed_checks": list(sample.failed_checks),
        "preview": redact(sample.text)[:PREVIEW_CHARACTERS],
        "record_id": str(sample.record_id),
    }
    return _rounded(row)


def summary_rows(run: Run) -> list[JSON]:
    """One entry per contender and prompt, then one per contender for all prompts together."""
    return [
        _rounded(_entry(run, contender, prompt))
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
        "itl_ms": _distribution(distribution(inter_token(taken), run.plan.seed)),
        "tokens_per_s": _distribution(distribution(rates(taken), run.plan.seed)),
        "cost_per_1000_usd": None if cost is None else f"{cost * 1000:.6f}",
        "outliers": len(outlying(taken)),
        "goodput": run.plan.slo.goodput(taken) if run.plan.slo else None,
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
