"""Turns that run in this process: they say that they live, and hear when they should stop.

Every BEAT seconds, one statement for each event loop renews the leases of its turns, and one
query tells which of them should stop: because somebody asked (in whatever process), because the
session's key went, or because the session was deleted or given to another turn. In this process
`stop` is heard at once.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections
from django.utils import timezone

from agents.models import AgentSession

BEAT = 2.0  # seconds; a lease (`agents.models.LEASE`) lasts for many of them
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The turn was told to stop."""


class Stop:
    """Tells one turn to stop, from any thread."""

    def __init__(self, session_id: uuid.UUID, turn_id: uuid.UUID) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        self.loop = asyncio.get_running_loop()
        self.requested = False
        self._wait: asyncio.Timeout | None = None

    def request(self) -> None:
        if not self.requested:
            self.requested = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._wait is not None:
            self._wait.reschedule(self.loop.time())

    async def unless(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives. Raises Stopped, having cancelled it, once the turn should stop."""
        if self.requested:
            raise Stopped
        try:
            async with asyncio.timeout(None) as self._wait:
                return await work()
        except TimeoutError:
            if self.requested:
                raise Stopped from None
            raise
        finally:
            self._wait = None


_turns: dict[uuid.UUID, Stop] = {}
_beats: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}


@asynccontextmanager
async def running(session_id: uuid.UUID, turn_id: uuid.UUID) -> AsyncGenerator[Stop]:
    """Keeps the turn's lease for as long as it runs."""
    loop = asyncio.get_running_loop()
    stop = _turns[turn_id] = Stop(session_id, turn_id)
    if loop not in _beats:  # in a context of its own: it outlives the request that begins it
        _beats[loop] = loop.create_task(_beat_again(loop), context=Context())
    try:
        yield stop
    finally:
        del _turns[turn_id]
        if not _of(loop) and loop in _beats:
            _beats.pop(loop).cancel()


def stop(session_ids: Collection[uuid.UUID]) -> None:
    """Stops the turns of these sessions that run in this process."""
    for turn in list(_turns.values()):
        if turn.session_id in session_ids:
            turn.request()


def beat(turns: Collection[Stop]) -> None:
    """Renews the leases of the turns, and tells those to stop that should."""
    sessions = [turn.session_id for turn in turns]
    held = AgentSession.objects.running().filter(
        pk__in=sessions, turn_id__in=[turn.turn_id for turn in turns]
    )
    held.update(heartbeat_at=timezone.now())
    going_on = set(held.filter(cancel_requested=False).values_list("turn_id", flat=True))
    for turn in turns:
        if turn.turn_id not in going_on:
            turn.request()


def _of(loop: asyncio.AbstractEventLoop) -> list[Stop]:
    return [turn for turn in list(_turns.values()) if turn.loop is loop]


async def _beat_again(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        await asyncio.sleep(BEAT)
        await sync_to_async(_one_beat, thread_sensitive=False)(_of(loop))


def _one_beat(turns: Collection[Stop]) -> None:
    try:
        beat(turns)
    except DatabaseError as error:  # the lease lasts until one of the next
        logger.warning("Turns could not renew their leases: %s", type(error).__name__)
    finally:
        connections.close_all()


def fail_lost_turns() -> int:
    """A periodic job: sessions whose turn died with its process become failed, and can go on."""
    return AgentSession.objects.fail_lost()
