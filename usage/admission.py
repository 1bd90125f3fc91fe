"""Admission: may this call be made now? In this process, by a token bucket per user."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from time import monotonic

from django.conf import settings


class TooManyCalls(Exception):
    """You are making calls faster than the limit of {limit} a minute. Wait {seconds} seconds."""

    status = 429
    code = "too_many_calls"

    def __init__(self, limit: int, retry_after: float) -> None:
        self.retry_after = retry_after
        sentence = " ".join((type(self).__doc__ or "").split())
        super().__init__(sentence.format(limit=limit, seconds=f"{retry_after:.1f}"))


class TokenBuckets:
    """`per_minute` calls a minute for each key, all of which may come at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> None:
        """Takes one call from the key's bucket. Raises TooManyCalls when it is empty."""
        with self._lock:
            now = self._clock()
            rate = self.per_minute / 60
            level, then = self._levels.get(key, (float(self.per_minute), now))
            level = min(self.per_minute, level + (now - then) * rate)
            if level < 1:
                raise TooManyCalls(self.per_minute, (1 - level) / rate)
            self._levels[key] = (level - 1, now)


_buckets = TokenBuckets(settings.CALLS_PER_MINUTE)


def admit(user_id: object) -> None:
    """Lets one call of this user through, or raises TooManyCalls."""
    _buckets.take(user_id)
