"""The threads in which Django's synchronous work is done, and which keep no connection.

Left alone, Django makes a thread for each request and keeps it, with whatever database connection
it has, until the last byte: 200 streams would hold 200 threads and all connections that there are,
and the event loop would stand still while each of them starts.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.db import close_old_connections

# A view may wait for a provider in its thread: they are many, and made only where none is idle.
REQUEST_THREADS = 500
# What streams do in between is short: each thread may hold Python's lock while the loop waits.
STREAM_THREADS = 4


class _Threads(ThreadPoolExecutor):
    """A job begins and ends with no connection that is too old, as a request does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(_connected, partial(fn, *args, **kwargs))


def _connected(job: Callable[[], Any]) -> Any:
    close_old_connections()
    try:
        return job()
    finally:
        close_old_connections()


_requests = _Threads(REQUEST_THREADS, thread_name_prefix="requests")
_streams = _Threads(STREAM_THREADS, thread_name_prefix="streams")


def request_threads() -> ThreadSensitiveContext:
    """Within it, `sync_to_async` goes to the threads that all requests share."""
    return ThreadSensitiveContext(executor=_requests)


def stream_threads() -> ThreadSensitiveContext:
    """Within it, to the few that are there for all that stream."""
    return ThreadSensitiveContext(executor=_streams)
