"""Rate limits: token buckets, atomic in this process or, with Redis, across all of them.

A bucket holds `capacity` tokens, all of which may go at once, and refills evenly within
`seconds`. Where Redis can't be reached each process limits by itself: a limit that is a little
too wide for a while is better than no service.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Any, Protocol

import redis
from django.conf import settings

from credentials.errors import CredentialError

logger = logging.getLogger(__name__)

HOUR = 3600.0
PRUNE_ABOVE = 10_000  # buckets; full ones say nothing and can go


class TooManyRequests(CredentialError):
    """You have reached the limit of {limit} {what} an hour. Try again in {minutes} minutes."""

    status = 429
    code = "too_many_requests"

    def __init__(self, limit: int, what: str, retry_after: float) -> None:
        self.retry_after = retry_after
        minutes = str(max(1, round(retry_after / 60)))
        super().__init__(limit=str(limit), what=what, minutes=minutes)


class Buckets(Protocol):
    def take(self, key: str, capacity: int, seconds: float) -> float:
        """Takes a token: 0.0, or the seconds until there is one."""
        ...


class LocalBuckets:
    """In this process's memory."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}

    def take(self, key: str, capacity: int, seconds: float) -> float:
        """A bucket is one number: the time at which it will be full again."""
        a_token = seconds / capacity
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at.get(key, now), now) + a_token
            wait = full_at - now - seconds
            if wait > 1e-9:
                return wait
            self._full_at[key] = full_at
            if len(self._full_at) > PRUNE_ABOVE:
                self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        return 0.0


# The same arithmetic, run inside Redis, by Redis's own clock: atomic over all processes.
TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local seconds = tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + seconds / ARGV[1]
local wait = full_at - now - seconds
if wait > 0.000001 then return tostring(wait) end
redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000))
return '0'
"""


class RedisBuckets:
    """In Redis, shared by all processes that are given the same URL."""

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)
        self._take = client.register_script(TAKE)
        self._local = LocalBuckets()

    def take(self, key: str, capacity: int, seconds: float) -> float:
        try:
            answer: Any = self._take(keys=[f"byom:limit:{key}"], args=[capacity, seconds])
        except redis.RedisError as error:
            logger.warning("Redis is out of reach (%s): limits hold per process.", type(error))
            return self._local.take(key, capacity, seconds)
        return float(answer)


@cache
def buckets() -> Buckets:
    return RedisBuckets(settings.REDIS_URL) if settings.REDIS_URL else LocalBuckets()


def limit(what: str, user_id: object) -> None:
    """Counts one of `what` ("changes of credentials" …, a name of CREDENTIAL_LIMITS) for this
    user. Raises TooManyRequests."""
    allowed = settings.CREDENTIAL_LIMITS[what]
    wait = buckets().take(f"{what}:{user_id}", allowed, HOUR)
    if wait:
        raise TooManyRequests(allowed, what, wait)
