"""When the bytes of a call's answer arrived, taken where they come in from the network.

The SDKs read an answer only once all of it is here: what they need for that (a tenth of a
millisecond per event, different for each) then delays neither this call's clock nor the other
streams'. Each piece is handed on with `now` at the moment it arrived, so that what the SDK makes
of it can be dated. Times are readings of `perf_counter`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any

import httpx2

DONE = b"[DONE]"  # after it some servers leave an OpenAI stream open
GRACE_SECONDS = 1.0

_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


class Recorder:
    """Of one call: its first request, and the answer to that."""

    __slots__ = ("began_to_connect", "chunks", "connected", "ended", "now", "request", "sent")

    def __init__(self) -> None:
        self.request: httpx2.Request | None = None
        self.began_to_connect: float | None = None
        self.connected: float | None = None
        self.sent: float | None = None
        self.ended: float | None = None
        self.now: float | None = None
        self.chunks: list[tuple[float, bytes]] = []

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """httpcore's own account of a request: see its docs on the `trace` extension."""
        if event == "http11.send_request_headers.started":
            self.sent = perf_counter()
        elif event == "connection.connect_tcp.started":
            self.began_to_connect = perf_counter()
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.connected = perf_counter()

    @property
    def connect_ms(self) -> float | None:
        """None where the connection was there already."""
        if self.began_to_connect is None or self.connected is None:
            return None
        return (self.connected - self.began_to_connect) * 1000

    @property
    def first_event(self) -> float | None:
        """When the first event of a stream was here; comments that keep it alive are none."""
        return next((at for at, chunk in self.chunks if b"data:" in chunk), None)


@contextmanager
def recording() -> Iterator[Recorder]:
    """What is called inside is recorded, on a client that `record` was told of."""
    token = _recorder.set(recorder := Recorder())
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def record(http: httpx2.AsyncClient) -> None:
    """From now on, calls on this client are recorded where somebody asks for it."""
    http.event_hooks["request"].append(_leaving)
    http.event_hooks["response"].append(_answered)


async def _leaving(request: httpx2.Request) -> None:
    recorder = _recorder.get()
    if recorder and recorder.request is None:
        recorder.request = request
        request.extensions["trace"] = recorder.trace


async def _answered(response: httpx2.Response) -> None:
    recorder = _recorder.get()
    if recorder and response.request is recorder.request:
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Held(response.stream, recorder)


class _Held(httpx2.AsyncByteStream):
    """Reads to the end first, hands on afterwards. A failure comes after what arrived before."""

    def __init__(self, stream: httpx2.AsyncByteStream, recorder: Recorder) -> None:
        self._stream, self._recorder = stream, recorder

    async def __aiter__(self) -> AsyncIterator[bytes]:
        recorder, failure = self._recorder, None
        try:
            await self._read()
        except Exception as error:  # raised below, in its place
            failure = error
        recorder.ended = recorder.ended or perf_counter()
        for at, chunk in recorder.chunks:
            recorder.now = at
            yield chunk
            await asyncio.sleep(0)  # reading it takes time that other calls may need
        recorder.now = recorder.ended
        if failure:
            raise failure

    async def _read(self) -> None:
        pieces = aiter(self._stream)
        async for chunk in pieces:
            self._recorder.chunks.append((perf_counter(), chunk))
            if DONE in chunk[-16:]:
                break
        else:
            return
        at = perf_counter()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                async for chunk in pieces:
                    self._recorder.chunks.append((perf_counter(), chunk))
        except TimeoutError:  # all that matters is here
            self._recorder.ended = at

    async def aclose(self) -> None:
        await self._stream.aclose()
