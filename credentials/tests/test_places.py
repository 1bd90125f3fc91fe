"""Places in Redis are kept while their process lives, and free soon after it has died."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable

import pytest

from credentials import places
from credentials.limits import Place, RedisBuckets
from credentials.places import Keeper
from credentials.tests.test_limits import REDIS, needs_redis

SECONDS = 0.4
HOLDS_ONE = """
import sys, time
from credentials.limits import Place, RedisBuckets
buckets = RedisBuckets(sys.argv[1], float(sys.argv[2]))
assert not buckets.enter([Place(sys.argv[3], 1)], "theirs")
print("entered", flush=True)
time.sleep(60)
"""


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@needs_redis
@pytest.mark.integration
def test_a_place_is_kept_as_long_as_its_process_lives_and_is_soon_free_when_it_is_killed() -> None:
    place = Place(f"concurrent:user:{uuid.uuid4()}", 1)
    arguments = [sys.executable, "-c", HOLDS_ONE, REDIS, str(SECONDS), place.key]
    ours = RedisBuckets(REDIS, SECONDS)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "entered\n"
            end = time.monotonic() + 4 * SECONDS
            while time.monotonic() < end:
                assert ours.enter([place], "ours") == place.key
                time.sleep(SECONDS / 10)
        finally:
            process.kill()
    until(lambda: not ours.enter([place], "ours"))
    ours.leave([place], "ours")


@needs_redis
@pytest.mark.integration
def test_who_has_left_is_not_brought_back_and_the_thread_ends() -> None:
    place = Place(f"concurrent:user:{uuid.uuid4()}", 1)
    one, other = RedisBuckets(REDIS, SECONDS), RedisBuckets(REDIS, SECONDS)
    assert not one.enter([place], "one")
    held = one._keeper._still_held()
    one.leave([place], "one")
    one._renew(held)  # which had begun just before
    assert not other.enter([place], "other")
    other.leave([place], "other")
    until(lambda: one._keeper._thread is None and other._keeper._thread is None)
    assert not one.enter([place], "again")
    assert one._keeper._thread
    one.leave([place], "again")


def test_a_place_that_nobody_gives_back_is_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = Keeper(lambda held: None, 60.0)
    keeper.add("lost", ["key"])
    assert keeper._still_held() == {"key": ["lost"]}
    monkeypatch.setattr(places, "LOST_SECONDS", -1.0)
    assert not keeper._still_held()
