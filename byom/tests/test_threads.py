"""Where the synchronous work of requests and streams is done, and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from byom import threads
from byom.threads import REQUEST_THREADS, STREAM_THREADS, request_threads, stream_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


@pytest.fixture(autouse=True)
def new_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without connections of earlier tests, and whose own go back at once, as PostgreSQL's do."""
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", 0)
    for name, count in (("requests", REQUEST_THREADS), ("streams", STREAM_THREADS)):
        monkeypatch.setattr(threads, f"_{name}", threads._Threads(count, name))


def query() -> tuple[threading.Thread, Any]:
    """The thread that this runs in, and its connection to the database."""
    User.objects.exists()
    return threading.current_thread(), connections["default"]


async def request() -> list[tuple[threading.Thread, Any]]:
    """As Django serves one, with a query before the first byte and one while it streams."""
    async with request_threads():
        before = await sync_to_async(query)()
        async with stream_threads():
            return [before, await sync_to_async(query)()]


async def test_streams_share_a_few_threads_and_nothing_keeps_a_connection() -> None:
    served = await asyncio.gather(*(request() for _ in range(3 * STREAM_THREADS)))

    assert {thread.name.partition("_")[0] for (thread, _), _ in served} == {"requests"}
    assert {thread.name.partition("_")[0] for _, (thread, _) in served} == {"streams"}
    assert len({thread for _, (thread, _) in served}) <= STREAM_THREADS
    assert [
        database.connection for both in served for _, database in both if database.connection
    ] == []


async def test_requests_use_the_same_threads_again() -> None:
    served = [await request() for _ in range(50)]

    assert len({thread for (thread, _), _ in served}) < 25
