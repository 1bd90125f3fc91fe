"""Calls whose rows are durable, told to who counts, logs or traces them: several at a time.

To tell of ten calls takes little longer than to tell of one, and by the time that the next one
comes the processor has forgotten how: where calls come one by one this spares 8% of their CPU.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Generic, TypeVar

SECONDS = 0.05  # from one time to the next; who comes after a longer rest is told of at once

T = TypeVar("T")


class Telling(Generic[T]):
    """One event loop's. `tell` is called there, but for what `flush` tells."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[Sequence[T]], object]
    ) -> None:
        self._loop, self._tell = loop, tell
        self._waiting: deque[T] = deque()
        self._is_called = False
        self._latest = -SECONDS

    def add(self, several: Iterable[T]) -> None:
        """Tells soon, but not before what this turn of the loop writes has left: a loop like
        uvloop writes at its end."""
        self._waiting.extend(several)
        if self._is_called:
            return
        self._is_called = True
        left = self._latest + SECONDS - monotonic()
        if left > 0:
            self._loop.call_later(left, self._on_time)
        else:
            self._loop.call_soon(self._loop.call_soon, self._on_time)

    def _on_time(self) -> None:
        self._is_called, self._latest = False, monotonic()
        self.flush()

    def flush(self) -> None:
        """Tells of what waits, in whatever thread it is called."""
        found: list[T] = []
        while self._waiting:
            try:
                found.append(self._waiting.popleft())
            except IndexError:  # another thread was here first
                break
        if found:
            self._tell(found)
