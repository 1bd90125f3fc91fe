"""Periodic jobs: the server's own timer, so that one machine needs no cron.

What is done how often stands in `settings.PERIODIC_JOBS`. Each server process runs them; a job
does once what is due, however many processes run it at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connections
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


@asynccontextmanager
async def timer() -> AsyncGenerator[None, None]:
    """Runs every periodic job, at once and then in its rhythm, for as long as the server lives."""
    tasks = [asyncio.create_task(_again(*job)) for job in settings.PERIODIC_JOBS.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(path: str, seconds: float) -> None:
    while True:
        await sync_to_async(_run, thread_sensitive=False)(path)
        await asyncio.sleep(seconds)


def _run(path: str) -> None:
    try:
        run_job(path)
    except DatabaseError as error:
        logger.warning("The job %s has to wait: %s", path, type(error).__name__)
    except Exception:  # the timer must live on; the next round may succeed
        logger.exception("The job %s failed.", path)
    finally:
        connections.close_all()


def run_job(path: str) -> Any:
    """Runs one job ("package.module.function") here and now; what it returns says what it did."""
    return import_string(path)()
