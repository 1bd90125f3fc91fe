"""Answers that stream share a few threads for what is synchronous in them.

Django keeps a thread for each request, and with it whatever database connection it has open, until
the last byte: 200 streams would hold 200 threads, and all connections that there are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections

THREADS = 4  # each may hold Python's lock for 5 ms while the event loop waits for it


class _Threads(ThreadPoolExecutor):
    """No job leaves its connection to the next one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(_connected, partial(fn, *args, **kwargs))


def _connected(job: Callable[[], Any]) -> Any:
    close_old_connections()
    try:
        return job()
    finally:
        close_old_connections()


_threads = _Threads(THREADS, thread_name_prefix="streams")


@asynccontextmanager
async def shared_threads() -> AsyncGenerator[None]:
    """Gives the request's own thread and its connections back; `sync_to_async` goes to the shared
    threads from here on."""
    await sync_to_async(connections.close_all)()
    own = SyncToAsync.thread_sensitive_context.get(None)
    if own is not None and (thread := SyncToAsync.context_to_thread_executor.pop(own, None)):
        thread.shutdown(wait=False)
    async with ThreadSensitiveContext(executor=_threads):
        yield
