"""Ledger rows that the event loop writes by itself, where the database is PostgreSQL.

A thread that writes takes the interpreter away from the loop and hands it back, some times for
each transaction, which costs the loop more than the writing. libpq needs no thread: a statement is
sent, and the loop is told when its answer has come. What goes out together is what was over by the
end of one turn of the loop, or while the statement before it was under way; where there was one row
only, the next does not wait for the end of its turn.

What the rows cost is charged to budgets later, for many rows at once (`usage.charges`).

What does not go well (a row that can't be written, a connection that broke) is handed back to
`usage.group_commit`, whose thread knows what to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from usage.ledger_line import LedgerLine
from usage.posting import Batch, Made, note_written, rows_alone

logger = logging.getLogger(__name__)

MOST = 256  # rows of one transaction
RETRY_SECONDS = 5.0  # from one try to connect to the next
ANSWER_SECONDS = 30.0  # longer than any wait for a lock: the connection is taken for dead then


class Row(Protocol):
    """Somebody waits for it."""

    @property
    def made(self) -> Made: ...


R = TypeVar("R", bound=Row)


class LoopCommit(Generic[R]):
    """One event loop's; all of it runs there.

    `written` is told of rows that are durable, of the number of the transaction that wrote them,
    and of what they count in budgets.
    `handed_back` is given what another has to write, or may have been written after all: where a
    connection breaks nobody knows.
    """

    def __init__(
        self,
        written: Callable[[Sequence[R], int, Batch], None],
        handed_back: Callable[[Sequence[R]], None],
    ) -> None:
        self._written, self._handed_back = written, handed_back
        self._loop = asyncio.get_running_loop()
        self._waiting: list[R] = []
        self._sent: list[R] = []
        self._batch: Batch | None = None  # of what was sent
        self._is_called = self._was_alone = False
        self._line: LedgerLine | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._tried = -RETRY_SECONDS
        self._late: asyncio.TimerHandle | None = None
        self._all_done = asyncio.Event()

    def can_write(self) -> bool:
        """If not, it sees to it that it soon can again."""
        if self._line is not None:
            return True
        if self._connecting is None and monotonic() - self._tried > RETRY_SECONDS:
            self._connecting = self._loop.create_task(self.connect())
        return False

    async def connect(self) -> None:
        """Where the database can't be reached, it is tried again when rows come."""
        self._tried = monotonic()
        try:
            self._line = await asyncio.to_thread(LedgerLine)
            self._loop.add_reader(self._line.socket, self._read)
        except Exception as error:
            logger.warning("No connection for ledger rows: %s", type(error).__name__)
        finally:
            self._connecting = None

    def sends_next(self) -> bool:
        """Whether what waits goes out at the end of this turn: nothing is under way."""
        return self._is_called

    def put(self, row: R) -> None:
        """It goes out at the end of this turn of the loop, or with the next statement; at once
        where the one before was alone: this one is likely to be."""
        self._waiting.append(row)
        if self._sent or self._is_called:
            return
        if self._was_alone:
            self._send()
        else:
            self._is_called = True
            self._loop.call_soon(self._send)

    async def finish(self) -> None:
        """Waits for what is under way, and closes the connection."""
        if self._connecting is not None:
            await self._connecting
        while self._waiting or self._sent:
            self._all_done.clear()
            await self._all_done.wait()
        if self._line is not None:
            await asyncio.to_thread(self._drop().close)

    def _send(self) -> None:
        self._is_called = False
        if not self._waiting:
            return  # they have been handed back meanwhile
        self._sent, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._was_alone = len(self._sent) == 1
        try:
            assert self._line is not None
            self._late = self._loop.call_later(ANSWER_SECONDS, self._fail, TimeoutError())
            self._batch = rows_alone([row.made for row in self._sent])
            self._line.send(self._batch.values)
            self._flush(self._line)
        except Exception as error:  # whatever it is, somebody waits for these rows
            self._fail(error)

    def _flush(self, line: LedgerLine) -> None:
        if not line.has_sent_all():
            self._loop.add_writer(line.socket, self._send_on)

    def _send_on(self) -> None:
        assert self._line is not None
        self._loop.remove_writer(self._line.socket)
        try:
            self._flush(self._line)
        except Exception as error:
            self._fail(error)

    def _read(self) -> None:
        """The answer has come, or a part of it, or the end of the connection."""
        assert self._line is not None
        try:
            if not self._line.read() or not self._sent:
                return
            number = self._line.transaction()
        except Exception as error:
            self._fail(error)
            return
        self._waits_no_more()
        rows, batch, self._sent = self._sent, self._batch, []
        assert batch is not None
        note_written([row.made for row in rows])
        if self._waiting:
            self._send()
        self._written(rows, number, batch)
        self._all_done.set()

    def _fail(self, error: Exception) -> None:
        """All goes back; should rows be at fault, the thread finds out which. The connection is
        made anew, as nobody knows what state it is in."""
        logger.warning("Ledger rows are handed to the thread: %s", type(error).__name__)
        self._waits_no_more()
        rows = [*self._sent, *self._waiting]
        self._sent, self._waiting = [], []
        self._tried = -RETRY_SECONDS if rows else monotonic()
        if self._line is not None:
            self._loop.run_in_executor(None, self._drop().close)
        self._handed_back(rows)
        self._all_done.set()

    def _waits_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _drop(self) -> LedgerLine:
        line, self._line = self._line, None
        assert line is not None
        self._loop.remove_reader(line.socket)
        self._loop.remove_writer(line.socket)
        return line
