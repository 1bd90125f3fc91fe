"""Database work of a turn.

A turn waits for its provider most of the time, so none of its jobs keeps a connection: one that was
kept would be missing to others, who may be more than there are connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


async def in_database(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `job` in the thread for synchronous work, and gives its connection back."""
    return await sync_to_async(_released)(job, *args, **kwargs)


def _released(job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return job(*args, **kwargs)
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:  # a transaction of the caller's, as in a command
                connection.close_if_unusable_or_obsolete()
