"""Timeouts that share a clock."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from gateway import deadlines
from gateway.deadlines import Deadline


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.001)


async def past(seconds: float | None) -> Deadline:
    with Deadline(seconds) as deadline:
        await asyncio.sleep(30)
    return deadline


def test_what_takes_too_long_is_cancelled_and_is_a_timeout() -> None:
    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            await past(0.002)
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()

    asyncio.run(scenario())


def test_what_is_done_in_time_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        with Deadline(0.01) as deadline:
            await asyncio.sleep(0)
        await asyncio.sleep(0.03)
        assert not deadline.expired
        assert deadlines._here.clock and not deadlines._here.clock.alarms
        assert not deadlines._here.clock.runs

    asyncio.run(scenario())


def test_the_inner_one_of_two_comes_alone() -> None:
    async def scenario() -> None:
        with Deadline(30) as outer:
            with pytest.raises(TimeoutError):
                await past(0.002)
            await asyncio.sleep(0)
        assert not outer.expired

    asyncio.run(scenario())


def test_somebody_elses_cancelling_goes_through() -> None:
    async def scenario() -> None:
        task = asyncio.create_task(past(0.005))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_cancelled_and_too_late_at_once_is_cancelled() -> None:
    async def both() -> None:
        with Deadline(None) as deadline:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            deadline.ring()
            await asyncio.sleep(30)

    async def scenario() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(both())

    asyncio.run(scenario())


def test_a_deadline_can_be_moved_and_lifted() -> None:
    async def scenario() -> None:
        with Deadline(0.004) as deadline:
            deadline.at = None
            await asyncio.sleep(0.02)
        with pytest.raises(TimeoutError), Deadline(None) as deadline:
            deadline.at = monotonic()
            await asyncio.sleep(30)

    asyncio.run(scenario())
