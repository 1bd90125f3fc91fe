"""uvicorn's HTTP protocol with bounds on what no application hears of.

uvicorn reads the head of a request for as long as it comes, and whatever its size: a client could
keep a connection, or fill the memory, before an application is asked; and after it by a trailer, or
by what may stand beside the length of a chunk. One that takes nothing of its answer would keep the
connection, what waits for it, and the provider's stream behind it. Bodies are the applications' own
to bound.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from byom.one_message import RESPONSE, Cycle

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
STALLED_SECONDS = 300.0
# The protocol makes one for each request, and is not asked of which class. One that is changed
# afterwards costs a microsecond more.
httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]


class HeadTooLarge(Exception):
    """The parser tells uvicorn of it as of any bad request: 400, and the connection ends."""


class BoundedHttp(HttpToolsProtocol):
    """Hangs up where a head, or what stands around a body in chunks, is larger than MAX_HEAD_BYTES;
    where a head takes longer than HEAD_SECONDS; and where for STALLED_SECONDS too little is taken
    of an answer for more of it to be written."""

    _in_head = False
    _waits: asyncio.TimerHandle | None = None  # for the rest of a head: most come in one read
    _stalls: asyncio.TimerHandle | None = None  # set while more is written than is taken
    _received = 0  # bytes since a head began, or since there was any of a body, in whole reads
    _in_headers = 0
    _has_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._flows()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._may_stall()

    def resume_writing(self) -> None:
        self._flows()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """A connection that is closed stays until what was written has been taken."""
        super().timeout_keep_alive_handler()
        self._may_stall()

    def _may_stall(self) -> None:
        if self._stalls is None:
            self._stalls = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def _flows(self) -> None:
        if self._stalls is not None:
            self._stalls.cancel()
            self._stalls = None

    def data_received(self, data: bytes) -> None:
        self._has_body = False
        idle = self.timeout_keep_alive_task
        super().data_received(data)
        if idle is not None and not self._in_head and self._is_idle():
            self._stay_idle(idle.when())
        if self._in_head:
            self._wait()
        elif not self.cycle or not self.cycle.more_body:
            return  # no more of this request is to come
        self._received = 0 if self._has_body else self._received + len(data)
        if self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head or not self.cycle.response_started:
                self.send_400_response("The head of the request, or a trailer, is too large.")
            else:
                self.transport.close()

    def _is_idle(self) -> bool:
        return self.timeout_keep_alive_task is None and (
            self.cycle is None or self.cycle.response_complete
        )

    def _stay_idle(self, until: float) -> None:
        """What began no request is no reason for uvicorn to wait for another for ever."""
        left = max(0.0, until - self.loop.time())
        self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

    def on_body(self, body: bytes) -> None:
        self._has_body = True
        super().on_body(body)

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._begin()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._in_headers += len(name) + len(value)
        if self._in_headers > MAX_HEAD_BYTES:  # all of it may have come in one read
            raise HeadTooLarge
        # What uvicorn does, but not in a call of its own: there are dozens for each request.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._end()
        extension: dict[object, object] = {}
        self.scope["extensions"] = {RESPONSE: extension}
        super().on_headers_complete()
        if isinstance(self.cycle, Cycle):
            extension["write"] = self.cycle.write

    def _begin(self) -> None:
        self._in_head = True
        self._received = self._in_headers = 0

    def _wait(self) -> None:
        if self._waits is None:
            self._waits = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _end(self) -> None:
        self._in_head = False
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _give_up(self) -> None:
        self._waits = None
        if not self.transport.is_closing():
            self.transport.close()
