"""An earlier run to compare with: one that the database keeps, or a JSON file of results."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from django.db.models import F

from benchmarks.models import BenchmarkRun
from benchmarks.plan import Contender

Row = Mapping[str, Any]


class Question(NamedTuple):
    """A prompt and the load under which it was asked, `level` calls at a time or `rate` calls a
    second: only the same compares."""

    prompt: str
    level: int
    rate: float | None = None


Values = Mapping[tuple[Contender, Question, str], list[float]]
"""By contender, question and metric: those of the calls that succeeded and are no warm-ups."""

LEAST_VALUE = 1e-9  # free calls: ratios need more than 0
FIELDS = ("latency_ms", "ttft_ms", "cost_usd")


class BadBaseline(ValueError):
    """That is no run to compare with; the message says why."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """An earlier run. Its contenders are provider and model, whichever key they were measured
    with."""

    name: str
    values: Values


def load(text: str, *, owner_id: Any) -> Baseline:
    """`text` is the id of a run of this owner (None: of nobody), or a file. Raises BadBaseline."""
    try:
        run_id = uuid.UUID(text)
    except ValueError:
        return _of_file(Path(text))
    return _of_run(run_id, owner_id)


def _of_run(run_id: uuid.UUID, owner_id: Any) -> Baseline:
    run = BenchmarkRun.objects.of(owner_id).filter(pk=run_id).first()
    if run is None:
        raise BadBaseline(f"There is no run {run_id} whose keys were those of this run.")
    rows = run.samples.filter(is_cold=False, status="ok")
    found = rows.values("provider", "model", "prompt", *FIELDS, concurrency=F("level"))
    return Baseline(str(run_id), _values(found, run.plan.get("rate")))


def _of_file(path: Path) -> Baseline:
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != "byom-benchmark":
            raise ValueError
        rows = [row for row in document["samples"] if row["status"] == "ok" and not row["cold"]]
        plan = document.get("plan")
        rate = plan.get("rate") if isinstance(plan, dict) else None
        return Baseline(path.name, _values(rows, rate))
    except OSError as error:
        raise BadBaseline(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise BadBaseline(f"{path} holds no results of a benchmark.") from None


def _values(rows: Iterable[Row], rate: float | None) -> Values:
    values: dict[tuple[Contender, Question, str], list[float]] = {}
    for row in rows:
        for field in FIELDS:
            value = row[field]
            if value is not None:
                number = max(float(value), LEAST_VALUE)
                contender = Contender(row["provider"], row["model"])
                question = Question(row["prompt"], row.get("concurrency", 1), rate)
                values.setdefault((contender, question, field), []).append(number)
    return values
