"""A real server for tests: uvicorn in a thread of this process, on a port of its own.

It shares the test's settings and its database, so a test that uses it has to be
`django_db(transaction=True)`: what an open transaction holds, other threads don't see.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from byom.bounded_http import BoundedHttp

PATIENCE = 20.0


@contextmanager
def serve(app: Callable[..., Any], **options: Any) -> Iterator[str]:
    """The URL of `app`, without a slash at the end; `options` are uvicorn's. The listening socket
    queues requests until the server's loop runs, so there is nothing to wait for."""
    usual = {"log_config": None, "access_log": False, "lifespan": "on"}
    config = uvicorn.Config(
        app, http=BoundedHttp, ws="none", timeout_graceful_shutdown=2, **{**usual, **options}
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="live-server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the live server did not stop"
