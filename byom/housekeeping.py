"""The server's own timer, so that one machine needs no cron."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import DatabaseError, connections

EVERY_SECONDS = 3600.0
logger = logging.getLogger(__name__)


@asynccontextmanager
async def timer() -> AsyncGenerator[None, None]:
    """Runs `manage.py housekeeping` at once and every hour, for as long as the server lives.

    Several servers may do so: what is due is done once.
    """
    task = asyncio.create_task(_hourly())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _hourly() -> None:
    while True:
        await sync_to_async(_once, thread_sensitive=False)()
        await asyncio.sleep(EVERY_SECONDS)


def _once() -> None:
    try:
        call_command("housekeeping", verbosity=0)
    except DatabaseError as error:
        logger.warning("Housekeeping has to wait: %s", type(error).__name__)
    finally:
        connections.close_all()
