"""A run's calls as a file: CSV or JSON lines, a batch at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from benchmarks.models import BenchmarkRun, BenchmarkSample
from benchmarks.serializers import SampleSerializer
from usage.export import safe

BATCH = 2_000
COLUMNS = tuple(SampleSerializer.Meta.fields)


@dataclass(frozen=True, slots=True)
class Format:
    mime: str
    header: str
    lines: Callable[[Sequence[dict[str, Any]]], str]


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(row[column]) for column in COLUMNS] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return safe("; ".join(value) if isinstance(value, list) else value)


def _jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, default=str, ensure_ascii=False) + "\n" for row in rows)


HEADER = ",".join(COLUMNS) + "\r\n"
FORMATS = {
    "csv": Format("text/csv; charset=utf-8", HEADER, _csv),
    "jsonl": Format("application/x-ndjson", "", _jsonl),
}


async def exported(run: BenchmarkRun, kind: Format) -> AsyncIterator[str]:
    """The file, in the order of the plan; no batch holds a connection."""
    yield kind.header
    after = -1
    while batch := await sync_to_async(_batch)(run, after):
        yield kind.lines(batch)
        after = batch[-1]["order"]


def _batch(run: BenchmarkRun, after: int) -> list[dict[str, Any]]:
    rows = BenchmarkSample.objects.filter(run=run, order__gt=after).order_by("order")[:BATCH]
    try:
        return [dict(row) for row in SampleSerializer(rows, many=True).data]
    finally:
        if not connections["default"].in_atomic_block:
            connections.close_all()
