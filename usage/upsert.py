"""Adding cells to the daily usage that is stored: one statement, however many.

The database adds up, histograms too, so that nothing is read before it is written. All cells go
as one JSON document: the only list of rows that PostgreSQL and SQLite both take as a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.db import connection

from usage.cells import FIGURES, Cell, Key

_COLUMNS = ("owner", "dimension", "day", "value", *FIGURES)
_KEY = ", ".join(_COLUMNS[:4])

_MERGED = {
    "postgresql": """(
        SELECT coalesce(jsonb_object_agg(key, calls), '{{}}') FROM (
            SELECT key, sum(value::bigint) AS calls FROM (
                SELECT * FROM jsonb_each_text(kept.{0})
                UNION ALL SELECT * FROM jsonb_each_text(excluded.{0})
            ) AS parts GROUP BY key
        ) AS merged)""",
    "sqlite": """(
        SELECT json_group_object(key, calls) FROM (
            SELECT key, sum(value) AS calls FROM (
                SELECT key, value FROM json_each(kept.{0})
                UNION ALL SELECT key, value FROM json_each(excluded.{0})
            ) GROUP BY key
        ))""",
}
_NEW = {
    "postgresql": f"""
        SELECT {", ".join(_COLUMNS)} FROM json_to_recordset(%s) AS new(
            owner bigint, dimension text, day date, value text, calls int, failed int,
            cancelled int, simulated int, input_tokens bigint, output_tokens bigint,
            cost_usd numeric, unpriced int, latency jsonb, first_token jsonb)""",
    "sqlite": f"""
        SELECT {", ".join(f"json_extract(value, '$.{name}')" for name in _COLUMNS)}
        FROM json_each(%s) WHERE true""",
}


def add_to_stored(cells: Mapping[Key, Cell]) -> None:
    """Wants the lock of the roll-ups, or two that add the same cells could wait for each other."""
    rows = [_row(key, cell) for key, cell in sorted(cells.items(), key=lambda item: item[0])]
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor), [json.dumps(rows)])


def _row(key: Key, cell: Cell) -> dict[str, object]:
    owner, dimension, day, value = key
    return {
        **{name: getattr(cell, name) for name in FIGURES},
        "owner": owner,
        "dimension": dimension,
        "day": day.isoformat(),
        "value": value,
        "cost_usd": f"{cell.cost_usd:f}",
    }


def _statement(vendor: str) -> str:
    sums = ", ".join(f"{name} = {_sum(vendor, name)}" for name in FIGURES)
    return f"""
        INSERT INTO usage_dailyusage AS kept ({", ".join(_COLUMNS)}) {_NEW[vendor]}
        ON CONFLICT ({_KEY}) DO UPDATE SET {sums}"""


def _sum(vendor: str, name: str) -> str:
    if name in ("latency", "first_token"):
        return _MERGED[vendor].format(name)
    plain = f"kept.{name} + excluded.{name}"
    # SQLite's decimals are floats: nine places are what was meant.
    return f"round({plain}, 9)" if (name, vendor) == ("cost_usd", "sqlite") else plain
