"""Exact pacing: wake at an absolute monotonic time, not "about a millisecond later".

`asyncio.sleep` wakes 0.5 to 2 ms late: epoll and uvloop round timers up to milliseconds. So one
Linux timerfd per event loop holds the earliest deadline with nanosecond resolution and wakes the
loop like a socket would. What is left of the kernel's own lateness (0.1 to 0.3 ms) is taken off
by waking `LEAD` early and yielding until the deadline, but only while few streams run: with
hundreds of them the loop is never idle and spinning would only burn CPU.
"""

import asyncio
import ctypes
import heapq
import itertools
import os
import sys
import time
import weakref
from collections.abc import Callable
from types import TracebackType

LEAD = 0.0004
FEW = 8
COARSE_LEAD = 0.0015

monotonic = time.monotonic
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _TimeSpec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


class _TimerSpec(ctypes.Structure):
    _fields_ = [("interval", _TimeSpec), ("value", _TimeSpec)]


class TimerFd:
    """timerfd(2) through ctypes (`os.timerfd_create` came with Python 3.13)."""

    lead = LEAD

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        assert _libc is not None
        self.settime = _libc.timerfd_settime
        self.fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.loop, self.ring = loop, ring
        loop.add_reader(self.fd, self._expired)

    def set(self, when: float) -> None:
        nanoseconds = max(int(when * 1e9), 1)
        value = _TimeSpec(nanoseconds // 10**9, nanoseconds % 10**9)
        spec = _TimerSpec(_TimeSpec(0, 0), value)
        self.settime(self.fd, 1, ctypes.byref(spec), None)  # 1: TFD_TIMER_ABSTIME

    def close(self) -> None:
        if not self.loop.is_closed():
            self.loop.remove_reader(self.fd)
        os.close(self.fd)

    def _expired(self) -> None:
        try:
            os.read(self.fd, 8)
        except BlockingIOError:  # re-armed since it fired
            return
        self.ring()


class LoopTimer:
    """The event loop's own timer, where there is no timerfd."""

    lead = COARSE_LEAD

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.loop, self.ring = loop, ring
        self.handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.close()
        self.handle = self.loop.call_later(max(when - monotonic(), 0.0), self.ring)

    def close(self) -> None:
        if self.handle is not None:
            self.handle.cancel()


class Clock:
    """The alarm of one event loop. Enter it for as long as a request needs pacing."""

    def __init__(self, make: "type[TimerFd | LoopTimer] | None" = None) -> None:
        self.make = make or (TimerFd if sys.platform == "linux" else LoopTimer)
        self.users = 0
        self.alarm: TimerFd | LoopTimer | None = None
        self.waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self.number = itertools.count()

    def __enter__(self) -> "Clock":
        self.users += 1
        if self.alarm is None:
            self.alarm = self.make(asyncio.get_running_loop(), self._ring)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.users -= 1
        if not self.users and self.alarm is not None:
            self.alarm.close()
            self.alarm = None
            self.waiting.clear()

    async def until(self, deadline: float, gone: "asyncio.Future[None]") -> bool:
        """Waits for a `time.monotonic()`, never returns early. False: `gone` came first."""
        assert self.alarm is not None
        wake = deadline - (self.alarm.lead if self.users <= FEW else 0.0)
        if wake > monotonic():
            await self._sleep(wake, gone)
        while not gone.done() and monotonic() < deadline:
            await asyncio.sleep(0)
        return not gone.done()

    async def _sleep(self, wake: float, gone: "asyncio.Future[None]") -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def release(_: object) -> None:
            if not waiter.done():
                waiter.set_result(None)

        heapq.heappush(self.waiting, (wake, next(self.number), waiter))
        if self.waiting[0][2] is waiter and self.alarm is not None:
            self.alarm.set(wake)
        gone.add_done_callback(release)
        try:
            await waiter
        finally:
            gone.remove_done_callback(release)

    def _ring(self) -> None:
        now = monotonic()
        while self.waiting and (self.waiting[0][0] <= now or self.waiting[0][2].done()):
            waiter = heapq.heappop(self.waiting)[2]
            if not waiter.done():
                waiter.set_result(None)
        if self.waiting and self.alarm is not None:
            self.alarm.set(self.waiting[0][0])


_clocks: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Clock]" = weakref.WeakKeyDictionary()


def clock() -> Clock:
    """The clock of the running event loop."""
    loop = asyncio.get_running_loop()
    return _clocks.setdefault(loop, Clock())
