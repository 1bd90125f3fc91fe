"""The ledger as a file: CSV or JSON lines, streamed in batches by key.

Spreadsheets run what begins like a formula, so that text cells which do are led by an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections

from usage.models import UsageQuerySet
from usage.paging import Cursor, after

BATCH = 2000
COLUMNS = (
    "id", "created_at", "user_id", "surface", "provider", "model", "model_served", "status",
    "error_code", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "usage_source", "cost_usd", "price_source", "latency_ms", "ttft_ms",
    "retries", "attempt_of", "corrects_id", "paid_by", "is_simulated", "credential_id",
    "access_token_id", "session_id", "request_id", "cache_write_1h_tokens", "service_tier",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Format:
    mime: str
    header: str
    lines: Callable[[list[tuple[Any, ...]]], str]


def safe(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _csv(rows: list[tuple[Any, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([safe(value) for value in row] for row in rows)
    return text.getvalue()


def _jsonl(rows: list[tuple[Any, ...]]) -> str:
    return "".join(
        json.dumps(dict(zip(COLUMNS, row, strict=True)), default=_text) + "\n" for row in rows
    )


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


FORMATS = {
    "csv": Format("text/csv; charset=utf-8", _csv([COLUMNS]), _csv),
    "jsonl": Format("application/x-ndjson", "", _jsonl),
}


async def exported(rows: UsageQuerySet, kind: Format) -> AsyncIterator[str]:
    """The file, a batch at a time, the latest rows first; no batch holds a connection."""
    yield kind.header
    cursor: Cursor | None = None
    while batch := await sync_to_async(_batch)(rows, cursor):
        yield kind.lines(batch)
        if len(batch) < BATCH:
            return
        cursor = Cursor(batch[-1][COLUMNS.index("created_at")], batch[-1][0])


def _batch(rows: UsageQuerySet, cursor: Cursor | None) -> list[tuple[Any, ...]]:
    found = after(rows, cursor).order_by("-created_at", "-id").values_list(*COLUMNS)[:BATCH]
    try:
        return list(found)
    finally:
        if not connections["default"].in_atomic_block:
            connections.close_all()
