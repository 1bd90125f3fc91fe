"""Connections to providers that are kept for the next call."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import NamedTuple

from gateway.connection import Connection

IDLE_SECONDS = 30.0


class Place(NamedTuple):
    """Where connections go. `is_guarded` ones serve no others, so that none that was made without
    the guard can serve a call that needs it."""

    scheme: str
    host: str
    port: int
    is_guarded: bool


class Kept:
    """Connections that are kept for the next call to their place: the latest goes first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._kept: dict[Place, deque[tuple[float, Connection]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take(self, place: Place) -> Connection | None:
        kept = self._kept.get(place)
        while kept:
            since, connection = kept.pop()
            if connection.is_open():
                if monotonic() - since < IDLE_SECONDS:
                    return connection
                connection.close()
        return None

    def put(self, place: Place, connection: Connection) -> None:
        if self._is_closed:
            connection.close()
            return
        kept = self._kept.get(place)
        if kept is None:
            kept = self._kept[place] = deque()
        kept.append((monotonic(), connection))
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(IDLE_SECONDS, self._sweep)

    def close(self) -> None:
        self._is_closed = True
        for kept in self._kept.values():
            for _, connection in kept:
                connection.close()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        """Closes those that nobody has used for long enough."""
        self._sweeping = None
        oldest = monotonic() - IDLE_SECONDS
        for place, kept in list(self._kept.items()):
            while kept and (kept[0][0] <= oldest or not kept[0][1].is_open()):
                kept.popleft()[1].close()
            if not kept:
                del self._kept[place]
        if self._kept:
            self._sweeping = self._loop.call_later(IDLE_SECONDS / 2, self._sweep)
