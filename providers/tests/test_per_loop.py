"""One of a thing per event loop: closed by the last to leave, whatever becomes of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from providers import per_loop as module
from providers.per_loop import PerLoop


class Thing:
    """Takes as long to close as it is told to."""

    def __init__(self) -> None:
        self.closing, self.may_close = asyncio.Event(), asyncio.Event()
        self.is_closed = False

    async def close(self) -> None:
        self.closing.set()
        await self.may_close.wait()
        self.is_closed = True


@pytest.fixture
def things() -> PerLoop[Thing]:
    return PerLoop(Thing, Thing.close)


async def come_and_go(things: PerLoop[Thing], met: list[Thing]) -> None:
    async with things.scope() as thing:
        met.append(thing)


async def leaving(things: PerLoop[Thing]) -> tuple[asyncio.Task[None], Thing]:
    """A task that is in the middle of closing what it was the last to leave."""
    met: list[Thing] = []
    task = asyncio.create_task(come_and_go(things, met))
    while not met:
        await asyncio.sleep(0)
    await met[0].closing.wait()
    return task, met[0]


async def test_who_is_cancelled_while_closing_has_closed_it_when_it_ends(
    things: PerLoop[Thing],
) -> None:
    task, thing = await leaving(things)
    task.cancel()
    await asyncio.sleep(0)
    thing.may_close.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert thing.is_closed


async def test_closing_goes_on_when_nobody_waits_for_it_any_more(
    things: PerLoop[Thing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSING_SECONDS", 0.01)
    task, thing = await leaving(things)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert not thing.is_closed

    thing.may_close.set()
    await asyncio.gather(*things._closing)
    assert thing.is_closed


async def test_who_comes_while_it_is_being_closed_gets_another(things: PerLoop[Thing]) -> None:
    task, thing = await leaving(things)
    async with things.scope() as another:
        assert another is not thing
        another.may_close.set()
    assert another.is_closed and not thing.is_closed

    thing.may_close.set()
    await task
    assert thing.is_closed
