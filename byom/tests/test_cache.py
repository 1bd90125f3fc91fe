"""The shared cache, with a Redis and without."""

from __future__ import annotations

import logging

import pytest
import redis

from byom.cache import ForgivingRedisCache

REAL = "redis://127.0.0.1:6379/9"
QUICK = {"OPTIONS": {"socket_connect_timeout": 0.2}, "KEY_PREFIX": "byom-test"}


def has_redis() -> bool:
    try:
        return bool(redis.Redis.from_url(REAL, socket_connect_timeout=0.2).ping())
    except redis.RedisError:
        return False


def test_without_a_redis_it_caches_per_process(caplog: pytest.LogCaptureFixture) -> None:
    cache = ForgivingRedisCache("redis://127.0.0.1:1/0", QUICK)
    with caplog.at_level(logging.WARNING):
        cache.set("attempts", [1, 2])

    assert cache.get("attempts") == [1, 2]
    assert "out of reach" in caplog.text


@pytest.mark.skipif(not has_redis(), reason="no Redis at 127.0.0.1:6379")
def test_two_processes_share_what_is_in_redis() -> None:
    one, other = ForgivingRedisCache(REAL, QUICK), ForgivingRedisCache(REAL, QUICK)
    one.set("attempts", [1, 2, 3], timeout=30)

    assert other.get("attempts") == [1, 2, 3]
    other.delete("attempts")
    assert one.get("attempts") is None
