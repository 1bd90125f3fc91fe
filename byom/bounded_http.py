"""uvicorn's HTTP protocol with bounds on what comes before an application is asked.

uvicorn reads the head of a request for as long as it comes, and whatever its size: a client could
keep a connection, or fill the memory, without an application ever hearing of it. Bodies are the
applications' own to bound.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0


class HeadTooLarge(Exception):
    """The parser tells uvicorn of it as of any bad request: 400, and the connection ends."""


class BoundedHttp(HttpToolsProtocol):
    """Hangs up where a head is larger than MAX_HEAD_BYTES or takes longer than HEAD_SECONDS."""

    _in_head = False
    _waits: asyncio.TimerHandle | None = None  # for the rest of a head: most come in one read
    _received = 0  # bytes since a head began, in whole reads
    _in_headers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._wait()
            self._received += len(data)
            if self._received > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._begin()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._in_headers += len(name) + len(value)
        if self._in_headers > MAX_HEAD_BYTES:  # all of it may have come in one read
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

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
