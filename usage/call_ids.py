"""Ids of calls: UUIDs of version 7, which begin with the time (RFC 9562, section 5.7).

The ledger is written at the end of its primary key's index then, and not anywhere in it: of a large
ledger PostgreSQL's log would take a page for each row. Python has them from 3.14 on.
"""

from __future__ import annotations

from os import urandom
from time import time_ns
from uuid import UUID

_RANDOM = (1 << 62) - 1
_MARKS = 7 << 76 | 2 << 62  # version and variant


def new_call_id() -> UUID:
    """74 of its bits are random."""
    random = int.from_bytes(urandom(10))
    milliseconds = time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | (random >> 68) << 64 | random & _RANDOM | _MARKS)
