"""An answer of a provider as it comes, on one of our connections (`gateway.connection`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from gateway.deadlines import Clock
from providers.http import MAX_STREAM_BYTES, UnreadableAnswer

BUFFER_BYTES = 2**16


class ConnectionTrouble(Exception):
    """the connection failed"""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class HungUp(ConnectionTrouble):
    """the connection was closed"""

    def __init__(self, *, unanswered: bool = False) -> None:
        """`unanswered`: closed or reset by the other side, with nothing of an answer."""
        self.unanswered = unanswered
        super().__init__()


class Garbled(ConnectionTrouble):
    """the answer stopped in the middle or can't be understood"""


class Source(Protocol):
    """The connection that an answer comes on."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    @property
    def clock(self) -> Clock: ...

    def resume(self, answer: Answer) -> None: ...

    def leave(self, answer: Answer) -> None: ...

    def fail(self, answer: Answer, error: Exception) -> None: ...


class Answer:
    """An answer as it comes. Its head is there once `Connection.ask` has returned it; header names
    are in lower case, and values of one name joined.

    Close it in the end, unless all of it has been read: then its connection is free already.
    """

    __slots__ = (
        "_connection", "_error", "_is_enough", "_left", "_seconds", "_sink", "_waiter", "at",
        "ends_with_connection", "has_ended", "has_head", "headers", "is_paused", "pieces", "size",
        "status",
    )  # fmt: skip

    def __init__(self, connection: Source, seconds: float) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.has_head = self.has_ended = self.ends_with_connection = False
        self.at: float | None = None
        self._connection, self._seconds = connection, seconds
        self.pieces: list[bytes] = []
        self.size = 0
        self._left = MAX_STREAM_BYTES
        self.is_paused = False
        self._error: Exception | None = None
        self._sink: Callable[[bytes], bool] | None = None
        self._is_enough = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def has_more(self) -> bool:
        """Whether `read` has something without a wait."""
        return bool(self.pieces)

    async def head(self) -> None:
        """Waits for it. Raises as `read` does."""
        while not self.has_head:
            if self._error is not None:
                raise self._error
            try:
                await self._expect()
            finally:
                self._forget_waiter()

    async def read(self) -> bytes:
        """What has come since the last time, or comes next; empty at the end. Raises HungUp,
        Garbled, UnreadableAnswer above MAX_STREAM_BYTES, and TimeoutError if nothing comes for as
        long as was allowed."""
        while not self.pieces:
            if self._error is not None:
                raise self._error
            if self.has_ended:
                return b""
            try:
                await self._expect()
            finally:
                self._forget_waiter()
        pieces = self._taken()
        if self.is_paused and self.size <= BUFFER_BYTES:
            self.is_paused = False
            self._connection.resume(self)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._count(data)
        return data

    async def pour(self, sink: Callable[[bytes], bool]) -> None:
        """Hands what has come to `sink`, and what comes as soon as it comes, until `sink` says
        False of what it has just been given, or the answer has ended. Raises as `read` does, and
        what `sink` raises.

        To wake a task for each piece takes longer than most pieces do.
        """
        self._is_enough = False
        while not self._is_enough:
            if self.pieces:
                self._is_enough = not sink(await self.read())
            elif self._error is not None:
                raise self._error
            elif self.has_ended:
                return
            else:
                self._sink = sink
                try:
                    await self._expect()
                finally:
                    self._sink = None
                    self._forget_waiter()

    def add(self, pieces: list[bytes]) -> None:
        """More of it has come. What is more than a buffer's worth waits to be taken in parts."""
        size = sum(map(len, pieces))
        sink = self._sink
        if sink is None or size > BUFFER_BYTES:
            self._sink = None
            self.pieces += pieces
            self.size += size
            return
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        try:
            self._count(body)
            if not sink(body):
                self._is_enough = True
                self._sink = None
        except Exception as error:  # it is for who pours; the event loop would only tell of it
            self._sink = None
            self._connection.fail(self, error)

    def _count(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableAnswer("the answer is too large")

    def _taken(self) -> list[bytes]:
        """About a buffer's worth: who passes it on has a copy or two of it."""
        if self.size <= BUFFER_BYTES:
            pieces, self.pieces, self.size = self.pieces, [], 0
            return pieces
        size = count = 0
        while size < BUFFER_BYTES:
            size += len(self.pieces[count])
            count += 1
        pieces = self.pieces[:count]
        del self.pieces[:count]
        self.size -= size
        return pieces

    def _expect(self) -> asyncio.Future[None]:
        """To be awaited until something comes, or too long nothing has; then `_forget_waiter`."""
        connection = self._connection
        waiter = self._waiter = connection.loop.create_future()
        self.at = monotonic() + self._seconds
        connection.clock.watch(self)
        return waiter

    def _forget_waiter(self) -> None:
        self._connection.clock.alarms.discard(self)
        self._waiter = None

    def ring(self) -> None:
        self._connection.fail(self, TimeoutError("nothing came for too long"))

    def close(self) -> None:
        """Ends the connection if the answer has not ended."""
        self._connection.leave(self)

    def fail(self, error: Exception) -> None:
        self._error = error
        self.wake()

    def has_come(self) -> None:
        """Wakes who waits; who is handed what comes only at the end."""
        if self._sink is None or self.has_ended:
            self.wake()
        else:
            self.at = monotonic() + self._seconds

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
