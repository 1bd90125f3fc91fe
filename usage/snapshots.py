"""Which transactions a count of the ledger has seen, in PostgreSQL's own words.

A snapshot is `xmin:xmax:xip`: all transactions below `xmin` were over, none from `xmax` on had
begun to be seen, and of those between, `xip` were under way:
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from __future__ import annotations

from typing import NamedTuple, Self

from django.db import connection
from django.db.models import Func, TextField, Value
from django.db.models.functions import Cast


class Snapshot(NamedTuple):
    """`under_way` are numbers from `start` up to, not including, `end`."""

    start: int
    end: int
    under_way: frozenset[int]

    @classmethod
    def read(cls, text: str) -> Self:
        start, end, under_way = text.split(":")
        return cls(int(start), int(end), frozenset(map(int, filter(None, under_way.split(",")))))

    def sees(self, number: int) -> bool:
        """What the transaction of that number has written, provided that it ended well."""
        return number < self.start or (number < self.end and number not in self.under_way)


def snapshot_of_this_statement() -> Func | Value:
    """An expression; empty where the database has no such thing."""
    if connection.vendor != "postgresql":
        return Value("", output_field=TextField())
    return Cast(Func(function="pg_current_snapshot"), TextField())
