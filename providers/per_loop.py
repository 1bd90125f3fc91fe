"""One of a thing per event loop, made when first needed there and closed when last left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_CLOSING_SECONDS = 5.0  # that one who is cancelled waits for the end of closing


@dataclass(slots=True)
class _Shared(Generic[T]):
    value: T
    scopes: int = 0


class PerLoop(Generic[T]):
    """Safe in any number of threads with loops of their own."""

    def __init__(
        self, make: Callable[[], T], close: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        self._make, self._close = make, close
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared[T]]
        self._shared = WeakKeyDictionary()
        self._closing: set[asyncio.Future[None]] = set()  # a loop itself holds no task
        self._lock = threading.Lock()  # loops live in threads of their own, the dictionary is one

    def scope(self) -> Scope[T]:
        """The running loop's, as an async context. The first scope on a loop makes it and the last
        one to leave closes it: a server holds one scope for as long as it lives, and all others
        cost next to nothing."""
        return Scope(self)

    def held(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """The loop's, without a scope of one's own: for who knows that nobody who holds it leaves
        sooner than they. None where nobody does."""
        shared = self._shared.get(loop)
        return None if shared is None else shared.value

    def enter(self, loop: asyncio.AbstractEventLoop) -> _Shared[T]:
        with self._lock:
            shared = self._shared.get(loop)
            if shared is None:
                shared = self._shared[loop] = _Shared(self._make())
            shared.scopes += 1
            return shared

    async def leave(self, loop: asyncio.AbstractEventLoop, shared: _Shared[T]) -> None:
        with self._lock:
            shared.scopes -= 1
            is_last = shared.scopes == 0
            if is_last:
                del self._shared[loop]
        if is_last:
            await self._closed(shared.value)

    async def _closed(self, value: T) -> None:
        """Closes it in a task of its own, which goes on when who was the last to leave is
        cancelled: nobody else would close it."""
        closing = asyncio.ensure_future(self._close(value))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait((closing,), timeout=_CLOSING_SECONDS)
            raise


class Scope(Generic[T]):
    """A time in which the running loop's thing is held open. Not to be entered twice."""

    __slots__ = ("_loop", "_owner", "_shared")

    def __init__(self, owner: PerLoop[T]) -> None:
        self._owner = owner

    async def __aenter__(self) -> T:
        self._loop = asyncio.get_running_loop()
        self._shared = self._owner.enter(self._loop)
        return self._shared.value

    async def __aexit__(self, *error: object) -> None:
        await self._owner.leave(self._loop, self._shared)
