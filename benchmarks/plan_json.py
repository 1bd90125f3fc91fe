"""A plan as JSON and back: what the database keeps of it, and the results' `plan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from benchmarks.checks import Check, Kind
from benchmarks.plan import Contender, Plan
from benchmarks.prompts import Prompt
from benchmarks.slo import Slo

JSON = dict[str, Any]


def plan_to_json(plan: Plan) -> JSON:
    """docs/reference/benchmark-json.md describes the fields."""
    return {
        "contenders": [asdict(contender) for contender in plan.contenders],
        "prompts": [asdict(prompt) for prompt in plan.prompts],
        "runs": plan.runs,
        "warmup": plan.warmup,
        "seed": plan.seed,
        "max_tokens": plan.max_tokens,
        "timeout_s": plan.timeout,
        "concurrency": list(plan.levels),
        "rate": plan.rate,
        "stream": plan.stream,
        "max_cost_usd": None if plan.max_cost is None else f"{plan.max_cost:f}",
        "slo": {"ttft_ms": plan.slo.ttft, "e2e_ms": plan.slo.e2e} if plan.slo else None,
        "shards": plan.shards,
        "retries": 0,
    }


def plan_from_json(row: Mapping[str, Any]) -> Plan:
    """What `plan_to_json` wrote, with this version or schema version 2."""
    limit, slo = row["max_cost_usd"], row["slo"]
    levels = row["concurrency"]
    return Plan(
        contenders=tuple(_contender(one) for one in row["contenders"]),
        prompts=tuple(_prompt(one) for one in row["prompts"]),
        runs=row["runs"],
        warmup=row["warmup"],
        seed=row["seed"],
        max_tokens=row["max_tokens"],
        timeout=row["timeout_s"],
        levels=tuple(levels) if isinstance(levels, list) else (levels,),
        rate=row.get("rate"),
        stream=row.get("stream", True),
        max_cost=None if limit is None else Decimal(limit),
        slo=Slo(ttft=slo["ttft_ms"], e2e=slo["e2e_ms"]) if slo else None,
        shards=row.get("shards", 1),
    )


def _contender(row: Mapping[str, Any]) -> Contender:
    return Contender(row["provider"], row["model"], row.get("credential", ""), row.get("title", ""))


def _prompt(row: Mapping[str, Any]) -> Prompt:
    checks = tuple(Check(Kind(one["kind"]), one["value"]) for one in row.get("checks", ()))
    return Prompt(**{**row, "checks": checks})
