"""One HTTP/1.1 connection to a provider, and the answers that come on it, one at a time.

The parser is llhttp, as the server's is. It is strict: an answer with two lengths, or with line
ends that two readers would see differently, is none. Nothing is unpacked, and what is read ahead of
who takes it is bounded.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import cast

import httptools

from gateway.arrival import BUFFER_BYTES, Answer, Garbled, HungUp
from gateway.deadlines import Clock

MAX_HEAD_BYTES = 64 * 1024  # and of trailers, and of whatever else stands around a body
_LARGE_BYTES = 2**16  # of a request
_RESET = (errno.ECONNRESET, errno.EPIPE)
_BODILESS = (204, 304)


class Connection(asyncio.Protocol):
    """`give_back` is told when it is free for another request, which it is from the start."""

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        give_back: Callable[[Connection], None],
    ) -> None:
        self.loop, self.clock = loop, clock
        self._give_back = give_back
        self._body: list[bytes] = []  # of the bytes that are just being read
        self.on_body = self._body.append  # called for each event of a stream: it runs no Python
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._bodiless = 0  # bytes that have come since there was any of a body
        self._in_headers = 0
        self._is_large = False
        self._is_interim = self._keeps_alive = self._was_sent_more = False

    async def ask(self, head: bytes, body: bytes, seconds: float) -> Answer:
        """The answer to a request, once its head is there. `seconds` bound each wait for bytes.
        Raises HungUp, Garbled and TimeoutError; the connection is closed then."""
        answer = self._answer = Answer(self, seconds)
        self._bodiless = self._in_headers = 0
        self._is_large = len(body) > _LARGE_BYTES
        try:
            self.transport.writelines((head, body))
            await answer.head()
        except BaseException:
            self.leave(answer)
            raise
        return answer

    def is_open(self) -> bool:
        return not self.transport.is_closing()

    def close(self) -> None:
        self.transport.close()

    def leave(self, answer: Answer) -> None:
        if self._answer is answer:
            self._answer = None
            self.transport.abort()

    def fail(self, answer: Answer, error: Exception) -> None:
        if self._answer is answer:
            self.leave(answer)
            answer.fail(error)

    def resume(self, answer: Answer) -> None:
        if self._answer is answer:
            self.transport.resume_reading()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def eof_received(self) -> None:
        """The end of all answers, though the rest of a request may wait to be taken."""
        self._lose(None)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        self._parser = None  # the two hold each other
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.ends_with_connection and exc is None:
            answer.has_ended = True
            answer.wake()
        elif answer.has_head:
            answer.fail(Garbled())
        else:
            was_told = exc is None or (isinstance(exc, OSError) and exc.errno in _RESET)
            answer.fail(HungUp(unanswered=was_told and not self._bodiless))

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or self._parser is None:
            self.transport.abort()  # nobody has asked for anything
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not answer.has_ended:
                self._hand_over(answer)
                self.fail(answer, Garbled())
                return
            self._keeps_alive = False
        if answer.has_ended:
            self._body.clear()  # what follows its end is not its own
            self._end(answer)
        elif self._body:
            self._bodiless = 0
            self._hand_over(answer)
        else:
            self._bodiless += len(data)
            if self._bodiless > MAX_HEAD_BYTES:
                self.fail(answer, Garbled())
                return
        answer.has_come()

    def _hand_over(self, answer: Answer) -> None:
        if self._body:
            answer.add(self._body)
            self._body.clear()
        if answer.size > BUFFER_BYTES and not answer.is_paused and not answer.has_ended:
            answer.is_paused = True
            self.transport.pause_reading()

    def _end(self, answer: Answer) -> None:
        """Free again, unless the provider says otherwise, has sent more than was asked for, or has
        answered before it took all of the request."""
        self._answer = None
        transport = self.transport
        is_clean = self._keeps_alive and not self._was_sent_more
        if self._is_large and answer.status >= 400:
            is_clean = False  # TLS does not tell whether all of the request has been taken
        if is_clean and not transport.get_write_buffer_size() and not transport.is_closing():
            if answer.is_paused:
                transport.resume_reading()
            self._give_back(self)
        else:
            transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.has_ended:
            self._was_sent_more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is None or answer.has_head:  # a trailer is of no interest
            return
        self._in_headers += len(name) + len(value)
        if self._in_headers > MAX_HEAD_BYTES:  # all of it may have come in one read
            raise Garbled
        name, headers = name.lower(), answer.headers
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.has_ended or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 100:
            raise Garbled
        if status < 200:
            self._is_interim = True
            return
        headers = answer.headers
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise Garbled
        has_length = coding is not None or b"content-length" in headers or status in _BODILESS
        answer.status, answer.ends_with_connection = status, not has_length
        answer.has_head = True

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or answer.has_ended or self._parser is None:
            return
        if self._is_interim:  # the answer is still to come
            self._is_interim = False
            answer.headers.clear()
        else:
            answer.has_ended = True
            self._keeps_alive = self._parser.should_keep_alive()
            self._hand_over(answer)
