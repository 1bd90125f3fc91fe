"""The server's entry: Django, with the gateway and the simulator beside it.

Neither of those passes Django's middleware; a request costs them tens of microseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")
django.setup(set_prefix=False)

from asgiref.sync import sync_to_async  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.http.response import HttpResponseBase  # noqa: E402

from benchmarks.simulator.app import create_app  # noqa: E402
from byom.housekeeping import timer  # noqa: E402
from byom.threads import request_threads, stream_threads  # noqa: E402
from credentials.canary import reason_not_to_start  # noqa: E402
from gateway import app as gateway  # noqa: E402
from gateway.upstream import upstream  # noqa: E402
from providers import registry  # noqa: E402
from providers.http import http_client  # noqa: E402
from usage.group_commit import group_commit  # noqa: E402

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Reply = Callable[[Mapping[str, Any]], Awaitable[None]]  # as Django has its types
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN_BYTES = 64_000_000
# The event loop waits so long for each thread that is at work, where many streams wait for it.
sys.setswitchinterval(0.001)
# A call under way is hundreds of objects, and nearly all end with it: Python's own 700 has the
# collector look through all calls under way once for each that begins.
GC_THRESHOLDS = 20_000, 20, 10
SIMULATOR_PREFIX = "/simulator"
WATCHERS = ("/livez", "/readyz", "/metrics", "/static/")  # who asks here makes no calls


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await _app_for(scope["path"])(scope, receive, send)


def _app_for(path: str) -> App:
    if _simulator is not None and path.startswith(f"{SIMULATOR_PREFIX}/"):
        return _simulator
    if path.startswith(gateway.PREFIXES):
        return gateway.application
    return _bounded_django


async def _lifespan(receive: Receive, send: Send) -> None:
    """Holds the process's shared HTTP client open from start to stop; no start on a bad ring."""
    await receive()
    if refusal := await asyncio.to_thread(reason_not_to_start):
        await send({"type": "lifespan.startup.failed", "message": refusal})
        return
    await asyncio.to_thread(_spare_the_collector)
    async with group_commit().on_this_loop(), http_client(), upstream(), timer():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await asyncio.to_thread(group_commit().close)
    await send({"type": "lifespan.shutdown.complete"})


def _spare_the_collector() -> None:
    """Has the garbage collector leave alone what is there by now: hundreds of thousands of objects
    that stay as long as the process, and that it would look through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


class _Adapters:
    """The providers' SDKs. They take seconds to import, and a call would wait for that; and 60 MB,
    which a process does without that serves nothing but the gateway."""

    _begun = False

    def prepare(self, path: str) -> None:
        """Loads them in the background once people or programs use anything else."""
        if not self._begun and not path.startswith(WATCHERS):
            self._begun = True
            threading.Thread(target=self._load, name="load-adapters", daemon=True).start()

    def _load(self) -> None:
        registry.load_adapters()
        _spare_the_collector()


_adapters = _Adapters()


async def _bounded_django(scope: Scope, receive: Receive, send: Send) -> None:
    """Django reads a body whole before anything looks at it, so its size is bounded here."""
    _adapters.prepare(scope["path"])
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    too_large = not declared.isdigit() or int(declared) > settings.MAX_BODY_BYTES
    received = 0

    async def counting() -> MutableMapping[str, Any]:
        nonlocal received, too_large
        message = await receive()
        received += len(message.get("body", b""))
        if received > settings.MAX_BODY_BYTES:
            too_large = True
            return {"type": "http.disconnect"}  # Django drops the request and answers nothing
        return message

    if not too_large:
        await _django(scope, counting, send)
    if too_large:
        await _drain(receive)
        await _refuse(send)


async def _drain(receive: Receive) -> None:
    """Reads on for a while: a client that is still sending would miss the answer."""
    drained = 0
    while drained < DRAIN_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


async def _refuse(send: Send) -> None:
    limit = settings.MAX_BODY_BYTES
    sentence = f"The request body is larger than {limit:,} bytes. Send less."
    body = json.dumps({"detail": sentence, "code": "body_too_large"}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class OneTripHandler(ASGIHandler):
    """Django with its synchronous middleware and the view in one trip to a thread.

    Django's own handler adapts each middleware by itself: some twenty trips per request, and each
    one waits for the event loop, which is busy where many answers stream at once.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with request_threads():
            await super().__call__(scope, receive, send)

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response)(request)

    async def send_response(self, response: HttpResponseBase, send: Reply) -> None:
        if not response.streaming:
            return await super().send_response(response, send)
        async with stream_threads():
            return await super().send_response(response, send)


_django = cast(App, OneTripHandler())
_simulator: App | None = create_app(prefix=SIMULATOR_PREFIX) if settings.SIMULATOR else None
