"""Timeouts by one clock that all calls of an event loop share.

asyncio makes a timer for each timeout and takes it away again. A call needs four, and nearly none
of them ever goes off: here they are looked at together, every TICK_SECONDS, so that one may come
so much later than was asked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

TICK_SECONDS = 0.05


class Alarm(Protocol):
    """`ring` is called once `at`, a reading of `monotonic`, is over; None is never. It may be set
    anew at any time."""

    at: float | None

    def ring(self) -> None: ...


class Deadline:
    """As `asyncio.timeout`: when the time has come, or somebody rings, what is done within the
    `with` is cancelled, and TimeoutError raised at its end.

    `loop` is the running loop, from the start of the `with` on.
    """

    __slots__ = ("_cancelling", "_clock", "_task", "at", "expired", "loop")

    def __init__(self, seconds: float | None) -> None:
        self.at = None if seconds is None else monotonic() + seconds
        self.expired = False

    def __enter__(self) -> Self:
        # Asked for once: in Python 3.11 it takes a system call.
        self.loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._clock = clock = clock_of(loop)
        clock.watch(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clock.alarms.discard(self)
        if not self.expired:
            return
        # Somebody else may have cancelled the task too; then it is to end.
        was_alone = self._task.uncancel() <= self._cancelling
        if was_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def ring(self) -> None:
        if not self.expired:
            self.at, self.expired = None, True
            self._task.cancel()

    def was_it(self) -> bool:
        """For who has caught a CancelledError within the `with`: whether it came from here, and
        nobody else wants the task to end. Then all is as if it had not been."""
        if not self.expired:
            return False
        self.expired = False
        return self._task.uncancel() <= self._cancelling


class Patience(Deadline):
    """A deadline for one thing after another. `look` is called once, when what is awaited has not
    come soon."""

    __slots__ = ("_limit", "_look")

    def __init__(self) -> None:
        self.at: float | None = None
        self._limit: float | None = None
        self.expired = False
        self._look: Callable[[], object] | None = None

    def begin(self, seconds: float | None, soon: float, look: Callable[[], object]) -> None:
        now = monotonic()
        self._limit = None if seconds is None else now + seconds
        self.at, self._look = now + soon, look

    def allow(self, seconds: float) -> None:
        """So long from now on, however long it was to be before."""
        self._limit = monotonic() + seconds
        if self._look is None:
            self.at = self._limit

    def end(self) -> None:
        self.at = self._look = None

    def ring(self) -> None:
        if self._look is None:
            super().ring()
            return
        look, self._look, self.at = self._look, None, self._limit
        look()


class Clock:
    """One event loop's. It stands still while nobody waits. Who is watched leaves by
    `alarms.discard`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.alarms: set[Alarm] = set()
        self.runs = False

    def watch(self, alarm: Alarm) -> None:
        self.alarms.add(alarm)
        if not self.runs:
            self.runs = True
            self.loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        now = monotonic()
        try:
            for alarm in [one for one in self.alarms if one.at is not None and one.at <= now]:
                alarm.ring()
        finally:  # whatever became of one, the others wait for theirs
            self.runs = bool(self.alarms)
            if self.runs:
                self.loop.call_later(TICK_SECONDS, self._tick)


class _Here(threading.local):
    """A thread runs one loop at a time."""

    clock: Clock | None = None


_here = _Here()


def clock_of(loop: asyncio.AbstractEventLoop) -> Clock:
    """The clock of the loop that runs in this thread."""
    clock = _here.clock
    if clock is None or clock.loop is not loop:
        clock = _here.clock = Clock(loop)
    return clock
