"""One of a thing per event loop, made when first needed there and closed when last left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


@dataclass(slots=True)
class _Shared(Generic[T]):
    value: T
    scopes: int = 0


class PerLoop(Generic[T]):
    """Safe in any number of threads with loops of their own."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make, self._close = make, close
        self._shared: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared[T]]
        self._shared = WeakKeyDictionary()
        self._lock = threading.Lock()  # loops live in threads of their own, the dictionary is one

    @asynccontextmanager
    async def scope(self) -> AsyncGenerator[T, None]:
        """The running loop's. The first scope on a loop makes it and the last one to leave closes
        it: a server holds one scope for as long as it lives, and all others cost next to nothing.
        """
        loop = asyncio.get_running_loop()
        shared = self._enter(loop)
        try:
            yield shared.value
        finally:
            if self._leave(loop, shared):
                await self._close(shared.value)

    def _enter(self, loop: asyncio.AbstractEventLoop) -> _Shared[T]:
        with self._lock:
            shared = self._shared.get(loop)
            if shared is None:
                shared = self._shared[loop] = _Shared(self._make())
            shared.scopes += 1
            return shared

    def _leave(self, loop: asyncio.AbstractEventLoop, shared: _Shared[T]) -> bool:
        with self._lock:
            shared.scopes -= 1
            if shared.scopes == 0:
                del self._shared[loop]
            return shared.scopes == 0
