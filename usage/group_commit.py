"""Ledger rows of calls that end at about the same time, in one transaction.

While one transaction is under way the next calls wait together. So nobody waits for a timer, and
the busier it gets the more calls share the cost. One thread of a process writes; it ends when
nobody has called for a second and nothing is held in budgets. On PostgreSQL a server's event loop
writes what is plain by itself (`usage.loop_commit`).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from django.db import connections
from django.dispatch import receiver

from credentials.lifecycle import is_news
from usage import charges, leases
from usage.ledger import Closed
from usage.loop_commit import LoopCommit
from usage.models import Status, UsageRecord
from usage.one_by_one import written
from usage.posting import Batch, Made, announce, land, make_ahead, on_postgresql
from usage.signals import metrics_read
from usage.telling import Telling

logger = logging.getLogger(__name__)

MOST = 256  # rows of one transaction
IDLE_SECONDS = 1.0


class Waiting:
    """A call that is over, and who waits for its row. `made` is there once the row is."""

    __slots__ = ("entry", "made", "row")
    made: Made

    def __init__(self, entry: Closed, row: asyncio.Future[UsageRecord]) -> None:
        self.entry, self.row = entry, row


Job = Callable[[], object]
Answer = tuple[Waiting, UsageRecord | Exception]


class GroupCommit:
    """Safe for any number of event loops."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Waiting | Job | None] = queue.SimpleQueue()
        self._loops: dict[asyncio.AbstractEventLoop, LoopCommit[Waiting]] = {}
        self._telling: dict[asyncio.AbstractEventLoop, Telling[Answer]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(
        self, entry: Closed, loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Future[UsageRecord]:
        """The call's row, once it is durable; it is written too if nobody waits any more. The
        future raises what the database raises. `loop` is the running one, for who knows it."""
        loop = loop or asyncio.get_running_loop()
        waiting = Waiting(entry, loop.create_future())
        try:
            make_ahead(entry)
        except Exception as error:  # the thread meets it again, and tells who waits
            logger.warning("A ledger row was not made ahead: %s", type(error).__name__)
        by_loop = self._loops.get(loop)
        if by_loop and entry.made and _is_plain(entry, entry.made) and by_loop.can_write():
            waiting.made = entry.made
            by_loop.put(waiting)
        else:
            self._queue.put(waiting)
            self.wake()
        return waiting.row

    def sends_next(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether that loop, the running one, sends rows as soon as it is let."""
        by_loop = self._loops.get(loop)
        return by_loop is not None and by_loop.sends_next()

    @asynccontextmanager
    async def on_this_loop(self) -> AsyncIterator[None]:
        """While this lasts the running loop writes by itself, if the database lets it, and tells
        of several calls at a time (`usage.telling`)."""
        loop = asyncio.get_running_loop()
        self._telling[loop] = Telling(loop, _tell)
        try:
            if on_postgresql():
                async with self._writing(loop):
                    yield
            else:
                yield
        finally:
            self._telling.pop(loop).flush()

    @asynccontextmanager
    async def _writing(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
        by_loop: LoopCommit[Waiting] = LoopCommit(self._written, self._handed_back)
        await by_loop.connect()
        self._loops[loop] = by_loop
        try:
            yield
        finally:
            del self._loops[loop]
            try:
                await by_loop.finish()
            finally:
                self._charge()  # the loop might not come to it any more

    def tell_all(self) -> None:
        """Tells now of what is told several at a time."""
        for telling in list(self._telling.values()):
            telling.flush()

    def _written(self, rows: Sequence[Waiting], number: int, batch: Batch) -> None:
        # Noted before leases are given back: who renews one then finds what to charge first.
        if charges.note(batch.sums, number, batch.at):
            rows[0].row.get_loop().call_later(charges.SECONDS, self._charge)
        land([one.entry for one in rows])
        self._resolve([(one, one.made.record) for one in rows])

    def _charge(self) -> None:
        self._queue.put(charges.charge_all)
        self.wake()

    def _handed_back(self, batch: Sequence[Waiting]) -> None:
        for one in batch:
            self._queue.put(one)
            self.wake()

    def wake(self) -> None:
        """Sees to it that the thread runs: it looks after leases too."""
        with self._lock:
            self._running()

    def _running(self) -> threading.Thread:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
            self._thread.start()
        return self._thread

    def close(self) -> None:
        """Writes what waits and gives all leases back. Blocks."""
        with self._lock:  # or the thread might end by itself just now, and leave the mark behind
            if self._thread is None and not leases.are_held():
                return
            thread = self._running()
            self._queue.put(None)
        thread.join()

    def _run(self) -> None:
        try:
            while self._goes_on():
                pass
        finally:
            connections.close_all()
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _goes_on(self) -> bool:
        try:
            batch = self._next()
        except queue.Empty:
            return self._look_after_leases()
        rows = [one for one in batch if isinstance(one, Waiting)]
        if rows:
            done = written([one.entry for one in rows])
            self._deliver(list(zip(rows, done, strict=True)))
        for job in batch:
            if callable(job):
                _done(job)
        if None in batch:
            _on_leases(leases.give_all_back)
            return False
        return True

    def _deliver(self, answers: Sequence[Answer]) -> None:
        """One hand-over to each event loop, however many wait on it. Who wants to know of a call is
        told there too: this thread has rows to write."""
        land([one.entry for one, row in answers if isinstance(row, UsageRecord)])
        by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = defaultdict(list)
        for answer in answers:
            by_loop[answer[0].row.get_loop()].append(answer)
        for loop, ready in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._resolve, ready)
            except RuntimeError:  # the loop is closed: nobody waits
                _tell(ready)

    def _resolve(self, answers: Sequence[Answer]) -> None:
        """On the loop of who waits."""
        telling = self._telling.get(answers[0][0].row.get_loop())
        if telling:
            telling.add(answers)
        else:
            _tell(answers)
        for waiting, answer in answers:
            if waiting.row.cancelled():
                continue
            if isinstance(answer, Exception):
                waiting.row.set_exception(answer)
            else:
                waiting.row.set_result(answer)

    def _next(self) -> list[Waiting | Job | None]:
        """All that wait now, or the first that comes. Raises queue.Empty."""
        batch = [self._queue.get(timeout=IDLE_SECONDS)]
        while len(batch) < MOST:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch

    def _look_after_leases(self) -> bool:
        """Whether there is a reason to stay."""
        if _on_leases(leases.tidy):
            return True
        with self._lock:
            if self._queue.empty():
                self._thread = None
                return False
        return True


def _is_plain(entry: Closed, made: Made) -> bool:
    """Whether the row is all that there is to write for now: the key's own row stays as it is, and
    what budgets are charged later was promised to the call by leases on them."""
    if _is_news_of_key(entry):
        return False
    promised = dict(entry.call.held)
    return all(promised.get(key) for key, units in made.sums if units)


def _is_news_of_key(entry: Closed) -> bool:
    credential_id, outcome = entry.call.account.payer.credential_id, entry.outcome
    if credential_id is None or outcome.status == Status.CANCELLED:
        return False
    return is_news(credential_id, outcome.error_code)


def _done(job: Job) -> None:
    try:
        job()
    except Exception as error:
        logger.warning("Budgets were not charged: %s", type(error).__name__)
        connections.close_all()


def _on_leases(work: Callable[[], bool | None]) -> bool | None:
    """What `work` says; True where it failed: rows to come must not wait for a thread that ended
    over leases."""
    try:
        return work()
    except Exception as error:
        logger.warning("Leases on budgets were not given back: %s", type(error).__name__)
        connections.close_all()
        return True


def _tell(answers: Sequence[Answer]) -> None:
    try:
        announce([(one.entry, row) for one, row in answers if isinstance(row, UsageRecord)])
    except Exception as error:  # the rows are durable: who waits gets theirs
        logger.error("What follows ledger rows failed: %s", type(error).__name__)


@cache
def group_commit() -> GroupCommit:
    """The process's."""
    return GroupCommit()


@receiver(metrics_read)
def _tell_before_metrics(sender: Any, **kwargs: Any) -> None:
    group_commit().tell_all()
