"""What a response that streams holds while it does."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.contrib.auth.models import User
from django.db import connections

from byom.streams import THREADS, shared_threads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def query() -> tuple[threading.Thread, Any]:
    """The thread that this runs in, and its connection to the database."""
    User.objects.exists()
    return threading.current_thread(), connections["default"]


async def request(threads: set[threading.Thread]) -> None:
    """As Django serves one, with a query before the first byte and one while it streams."""
    async with ThreadSensitiveContext():
        own, database = await sync_to_async(query)()
        assert database.connection is not None
        async with shared_threads():
            assert database.connection is None
            await asyncio.to_thread(own.join, 5)
            assert not own.is_alive()
            shared, database = await sync_to_async(query)()
            assert database.connection is None
            threads.add(shared)


async def test_streams_share_a_few_threads_and_keep_no_connection() -> None:
    threads: set[threading.Thread] = set()
    await asyncio.gather(*(request(threads) for _ in range(3 * THREADS)))

    assert 1 <= len(threads) <= THREADS
