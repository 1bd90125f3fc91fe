"""Figures, verdicts and changes as rows of the results: docs/reference/benchmark-json.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.changes import Changed, changes
from benchmarks.estimates import Estimate, TooFew
from benchmarks.plan import Contender, Plan
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import (
    Centre,
    Distribution,
    checked,
    distribution,
    figures,
    first_tokens,
    harness_error,
    inter_token,
    latencies,
    outlying,
    rates,
    tokens_told,
)
from benchmarks.verdicts import Verdict, verdicts

JSON = dict[str, Any]


def summary_rows(run: Run) -> list[JSON]:
    """One entry per contender and prompt, then one per contender for all prompts together."""
    return [
        rounded(_entry(run, contender, prompt))
        for prompt in (*(prompt.name for prompt in run.plan.prompts), None)
        for contender in run.contenders
    ]


def sweep_rows(run: Run) -> list[JSON]:
    """One entry per contender and number of calls at a time, for all prompts together; none where
    there was only one such number."""
    levels = run.plan.levels if len(run.plan.levels) > 1 and not run.plan.rate else ()
    return [
        {"concurrency": level, **rounded(_entry(run, contender, None, level))}
        for level in levels
        for contender in run.contenders
    ]


def _entry(run: Run, contender: Contender, prompt: str | None, level: int | None = None) -> JSON:
    taken = [
        sample
        for sample in run.measured
        if sample.step.contender == contender
        and prompt in (None, sample.step.prompt.name)
        and level in (None, sample.step.level)
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
        **_checked(taken),
        "tokens_told": tokens_told(taken),
        "outliers": len(outlying(taken)),
        "goodput": run.plan.slo.goodput(taken) if run.plan.slo else None,
    }


def _checked(taken: Sequence[Sample]) -> JSON:
    found = checked(taken)
    cost = found.cost_per_passed if found else None
    return {
        "checked": found.checked if found else 0,
        "passed": found.passed if found else None,
        "cost_per_passed_usd": None if cost is None else f"{cost:.9f}",
    }


def _distribution(found: Distribution | None) -> JSON | None:
    if found is None:
        return None
    percentiles = {f"p{percent}": _estimate(one) for percent, one in found.percentiles.items()}
    return {"mean": _estimate(found.mean), **percentiles}


def _estimate(found: Estimate | TooFew) -> JSON:
    return asdict(found)


def verdict_rows(run: Run) -> list[JSON]:
    """One entry per metric, number of calls at a time and pair of contenders."""
    return [rounded(_verdict(found, run.plan)) for found in verdicts(run)]


def _verdict(found: Verdict, plan: Plan) -> JSON:
    compared = found.comparison
    return {
        "metric": found.metric.field,
        "concurrency": found.level,
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
        "more_runs": found.more_runs(plan),
    }


def _centre(centre: Centre | None) -> JSON | None:
    if centre is None:
        return None
    cost = centre.cost_usd
    return {**asdict(centre), "cost_usd": None if cost is None else f"{cost:.9f}"}


def harness_row(run: Run) -> JSON | None:
    """How exact the stopwatch was; None where nobody knows."""
    error = harness_error(run)
    if error is None:
        return None
    row = {**asdict(error), "concurrency": list(error.at_a_time)}
    row.pop("at_a_time")
    return rounded(row)


def change_rows(run: Run) -> list[JSON]:
    """Against the earlier run that this one is compared with; none without."""
    return [rounded(_change(one)) for one in changes(run)]


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


def rounded(values: JSON) -> JSON:
    """Floats to six decimals, at any depth: more digits would be invented."""
    return {
        name: rounded(value)
        if isinstance(value, dict)
        else round(value, 6)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }
