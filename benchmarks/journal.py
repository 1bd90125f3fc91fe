"""Writes samples down while the run goes on, and hears what the database has to say to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from asgiref.sync import sync_to_async

from benchmarks import store
from benchmarks.budget import charged
from benchmarks.sample import Sample
from benchmarks.store import Claim

HEARTBEAT_SECONDS = 1.0


class Journal:
    """Calls that end while others are being written down share the next transaction."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._waiting: list[tuple[tuple[Sample, int, int], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, sample: Sample, aside: int) -> None:
        """Returns when its row is durable. Raises ClaimLost."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((sample, aside, charged(sample, aside)), written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await written

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            failure = await self._write_batch([taken for taken, _ in batch])
            for _, written in batch:
                if written.done():  # its task was cancelled
                    continue
                written.set_exception(failure) if failure else written.set_result(None)
        self._writing = None

    async def _write_batch(self, batch: list[tuple[Sample, int, int]]) -> Exception | None:
        try:
            await sync_to_async(store.write)(self._claim, batch)
        except Exception as error:  # told to each who waits for it
            return error
        return None


@asynccontextmanager
async def heartbeat(
    claim: Claim, stop: Callable[[], None], lost: Callable[[], object]
) -> AsyncGenerator[None]:
    """Gives signs of life meanwhile. Calls `stop` once the run is cancelled, `lost` once the shard
    is in other hands."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                if await sync_to_async(store.beat)(claim):
                    stop()
            except store.ClaimLost:
                lost()
                return

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
