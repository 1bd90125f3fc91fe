"""Rate limits: token buckets, atomic in this process or, with Redis, across all of them.

A bucket holds `capacity` tokens, all of which may go at once, and refills evenly within
`seconds`. Places bound how much goes on at the same time. Where Redis can't be reached each
process limits by itself: a limit that is a little too wide for a while is better than no service.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any, NamedTuple, Protocol

import redis
from django.conf import settings

from credentials.errors import CredentialError
from credentials.places import LOST_SECONDS, Held, Keeper

logger = logging.getLogger(__name__)

HOUR = 3600.0
PLACE_SECONDS = 60.0  # places in Redis of a process that gives no sign of life are free after this
PRUNE_ABOVE = 10_000  # buckets; full ones say nothing and can go


class TooManyRequests(CredentialError):
    """You have reached the limit of {limit} {what} an hour. Try again in {minutes} minutes."""

    status = 429
    code = "too_many_requests"

    def __init__(self, limit: int, what: str, retry_after: float) -> None:
        self.retry_after = retry_after
        minutes = str(max(1, round(retry_after / 60)))
        super().__init__(limit=str(limit), what=what, minutes=minutes)


class Demand(NamedTuple):
    """`cost` tokens of one bucket. A cost of 0 waits until the bucket is out of debt."""

    key: str
    capacity: int
    seconds: float
    cost: float = 1.0

    @property
    def kind(self) -> str:
        """Its key up to the first colon."""
        return self.key.partition(":")[0]

    @property
    def refill(self) -> float:
        """Seconds that it takes to refill what is asked for."""
        return self.cost * self.seconds / self.capacity


Standing = tuple[float, float]
"""How a bucket stands after a demand: seconds until it has what was asked for (0.0: taken), and
until it is full."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of `most` places under `key`."""

    key: str
    most: int


class Buckets(Protocol):
    def take(self, key: str, capacity: int, seconds: float) -> float:
        """Takes a token: 0.0, or the seconds until there is one."""
        ...

    def take_all(self, demands: Sequence[Demand]) -> list[Standing]:
        """Takes what all of `demands` ask for, or nothing, if any of them has to wait."""
        ...

    def adjust(self, demands: Sequence[Demand]) -> None:
        """Takes without asking, into debt if need be; a negative cost gives back."""
        ...

    def enter(self, places: Sequence[Place], holder: str) -> str:
        """Takes one place under each key for `holder`, or none: the key that is full then, else
        empty. They are held until `holder` leaves, for two hours at most, or the process dies."""
        ...

    def leave(self, places: Sequence[Place], holder: str) -> None:
        """Gives the places back. Twice is once."""
        ...


class LocalBuckets:
    """In this process's memory."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at: dict[str, float] = {}
        self._places: dict[str, dict[str, float]] = {}

    def take(self, key: str, capacity: int, seconds: float) -> float:
        return self.take_all([Demand(key, capacity, seconds)])[0][0]

    def take_all(self, demands: Sequence[Demand]) -> list[Standing]:
        """A bucket is one number: the time at which it will be full again."""
        before, after, waits, taken = [], [], [], True
        with self._lock:
            now = self._clock()
            for key, capacity, seconds, cost in demands:
                at = self._full_at.get(key, now)
                if at < now:
                    at = now
                full_at = at + cost * seconds / capacity
                wait = full_at - now - seconds
                taken = taken and wait <= 1e-9
                before.append(at)
                after.append(full_at)
                waits.append(wait if wait > 1e-9 else 0.0)
            if taken:
                self._keep(now, demands, after)
        left = after if taken else before
        return [(wait, at - now) for wait, at in zip(waits, left, strict=True)]

    def adjust(self, demands: Sequence[Demand]) -> None:
        with self._lock:
            now = self._clock()
            known = [max(self._full_at.get(demand.key, now), now) for demand in demands]
            after = [at + demand.refill for at, demand in zip(known, demands, strict=True)]
            self._keep(now, demands, after)

    def _keep(self, now: float, demands: Sequence[Demand], after: Sequence[float]) -> None:
        for demand, at in zip(demands, after, strict=True):
            self._full_at[demand.key] = at
        if len(self._full_at) > PRUNE_ABOVE:
            self._full_at = {k: at for k, at in self._full_at.items() if at > now}

    def enter(self, places: Sequence[Place], holder: str) -> str:
        with self._lock:
            now = self._clock()
            for place in places:
                if len(self._places.get(place.key, ())) >= place.most:
                    self._take_back_lost(place.key, now)
                if len(self._places.get(place.key, ())) >= place.most:
                    return place.key
            for place in places:
                self._places.setdefault(place.key, {})[holder] = now + LOST_SECONDS
        return ""

    def _take_back_lost(self, key: str, now: float) -> None:
        held = self._places.get(key, {})
        self._places[key] = {who: until for who, until in held.items() if until > now}

    def leave(self, places: Sequence[Place], holder: str) -> None:
        with self._lock:
            for place in places:
                held = self._places.get(place.key, {})
                held.pop(holder, None)
                if not held:
                    self._places.pop(place.key, None)


# The same arithmetic, run inside Redis, by Redis's own clock: atomic over all processes. For
# each key two arguments: seconds of its bucket, seconds of refill; before them, 1 for no refusal.
TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local before, after, waits, taken = {}, {}, {}, true
for i, key in ipairs(KEYS) do
  local seconds, refill = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  before[i] = math.max(tonumber(redis.call('GET', key) or now), now)
  after[i] = before[i] + refill
  waits[i] = after[i] - now - seconds
  if waits[i] > 0.000001 and ARGV[1] == '0' then taken = false end
end
local answer = {}
for i, key in ipairs(KEYS) do
  local at = taken and after[i] or before[i]
  if taken and at > now then
    redis.call('SET', key, string.format('%.6f', at), 'PX', math.ceil((at - now) * 1000))
  elseif taken then
    redis.call('DEL', key)
  end
  answer[2 * i - 1] = tostring(waits[i] > 0.000001 and waits[i] or 0)
  answer[2 * i] = tostring(at - now)
end
return answer
"""

# Places are a sorted set: who, by when the place is lost.
ENTER = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= tonumber(ARGV[i + 2]) then return key end
end
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[2], ARGV[1])
  redis.call('PEXPIRE', key, math.ceil(ARGV[2] * 1000))
end
return ''
"""

PREFIX = "byom:limit:"


class RedisBuckets:
    """In Redis, shared by all processes that are given the same URL."""

    def __init__(self, url: str, place_seconds: float = PLACE_SECONDS) -> None:
        self._place_seconds = place_seconds
        self._keeper = Keeper(self._renew, place_seconds / 4)
        self._client = redis.Redis.from_url(
            url, socket_timeout=0.5, socket_connect_timeout=0.5, decode_responses=True
        )
        self._take = self._client.register_script(TAKE)
        self._enter = self._client.register_script(ENTER)
        self._local = LocalBuckets()

    def take(self, key: str, capacity: int, seconds: float) -> float:
        return self.take_all([Demand(key, capacity, seconds)])[0][0]

    def take_all(self, demands: Sequence[Demand]) -> list[Standing]:
        try:
            answer = [float(number) for number in self._run_take(demands, forced=False)]
        except redis.RedisError as error:
            _warn(error)
            return self._local.take_all(demands)
        return list(zip(answer[::2], answer[1::2], strict=True))

    def adjust(self, demands: Sequence[Demand]) -> None:
        try:
            self._run_take(demands, forced=True)
        except redis.RedisError as error:
            _warn(error)
            self._local.adjust(demands)

    def _run_take(self, demands: Sequence[Demand], *, forced: bool) -> Any:
        numbers = [number for demand in demands for number in (demand.seconds, demand.refill)]
        keys = [PREFIX + demand.key for demand in demands]
        return self._take(keys=keys, args=[int(forced), *numbers])

    def enter(self, places: Sequence[Place], holder: str) -> str:
        keys = [PREFIX + place.key for place in places]
        most = [place.most for place in places]
        arguments: list[str | float] = [holder, self._place_seconds, *most]
        try:
            full: Any = self._enter(keys=keys, args=arguments)
        except redis.RedisError as error:
            _warn(error)
            return self._local.enter(places, holder)
        if not full:
            self._keeper.add(holder, keys)
        return str(full).removeprefix(PREFIX)

    def _renew(self, held: Held) -> None:
        """Only of who is still there: one who has just left must not come back."""
        seconds, millionths = self._client.time()
        until = seconds + millionths / 1e6 + self._place_seconds
        with self._client.pipeline(transaction=False) as pipe:
            for key, holders in held.items():
                pipe.zadd(key, dict.fromkeys(holders, until), xx=True)
                pipe.pexpire(key, int(self._place_seconds * 1000))
            pipe.execute()

    def leave(self, places: Sequence[Place], holder: str) -> None:
        self._local.leave(places, holder)
        self._keeper.drop(holder)
        try:
            with self._client.pipeline() as pipe:
                for place in places:
                    pipe.zrem(PREFIX + place.key, holder)
                pipe.execute()
        except redis.RedisError as error:
            _warn(error)


def _warn(error: redis.RedisError) -> None:
    logger.warning("Redis is out of reach (%s): limits hold per process.", type(error).__name__)


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
