from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from usage import telling
from usage.telling import Telling


def test_who_comes_after_a_rest_is_told_of_at_once_and_those_after_them_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "SECONDS", 0.02)
    told: list[list[int]] = []

    async def scenario() -> None:
        several = Telling[int](asyncio.get_running_loop(), lambda them: told.append([*them]))
        several.add([1])
        assert told == []  # what this turn of the loop writes leaves first
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == [[1]]
        for number in range(2, 6):
            several.add([number])
            await asyncio.sleep(0)
        assert told == [[1]]
        await asyncio.sleep(0.05)
        assert told == [[1], [2, 3, 4, 5]]

    asyncio.run(scenario())


def test_another_thread_may_ask_for_what_waits_and_nobody_is_told_of_twice() -> None:
    told: list[int] = []
    lock = threading.Lock()

    def tell(them: Sequence[int]) -> None:
        with lock:
            told.extend(them)

    async def scenario() -> None:
        several = Telling[int](asyncio.get_running_loop(), tell)
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                several.flush()

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(2000):
            several.add([number])
            if number % 100 == 0:
                await asyncio.sleep(0)
        over.set()
        for thread in threads:
            thread.join()
        several.flush()

    asyncio.run(scenario())

    assert sorted(told) == [*range(2000)]
