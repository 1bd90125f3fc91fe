"""Rate limits of calls: how many a minute, how many tokens a minute, how many at the same time;
for each user, access token and credential.

A call is let in while there is room for what goes into it. What it used is known only at its end
and settled then; that may leave a debt, which later calls wait for.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from credentials.limits import Demand, Place, Standing, buckets
from usage.memory import note_change

MINUTE = 60.0
BUSY_SECONDS = 1.0  # nobody knows when a call will end: ask again soon


@dataclass(frozen=True, slots=True)
class Limits:
    """Per minute, and at the same time. 0 is no limit."""

    calls: int
    tokens: int
    concurrent: int


class Remaining(NamedTuple):
    """What a caller may know: of `limit` a minute so many are left; full again in seconds."""

    kind: str
    limit: int
    left: int
    full_in: float


class LimitReached(Exception):
    """Which limit it was. `admission` says it to people."""

    def __init__(
        self, kind: str, holder: str, limit: int, wait: float, remaining: tuple[Remaining, ...] = ()
    ) -> None:
        self.kind, self.holder, self.limit, self.wait = kind, holder, limit, wait
        self.remaining = remaining
        super().__init__(type(self).__doc__)


@dataclass(slots=True)
class Hold:
    """What a call has taken of its limits. Give it back once, by `settle` or `cancel`."""

    call_id: str
    demands: tuple[Demand, ...]
    per_tokens: tuple[Demand, ...]  # those of them that count tokens
    places: tuple[Place, ...]
    remaining: tuple[Remaining, ...]

    def settle(self, tokens: int) -> None:
        """The call is over and has used `tokens`."""
        if not (self.per_tokens or self.places):
            return
        self._give_back([one._replace(cost=tokens - one.cost) for one in self.per_tokens])

    def cancel(self) -> None:
        """The call was not made after all."""
        self._give_back([demand._replace(cost=-demand.cost) for demand in self.demands])

    def _give_back(self, demands: list[Demand]) -> None:
        if self.places:
            buckets().leave(self.places, self.call_id)
        if demands:
            buckets().adjust(demands)


def take(call_id: str, plan: Plan, tokens: int) -> Hold:
    """Lets a call in that puts `tokens` into the model. Raises LimitReached; nothing is taken
    then."""
    places, demands, per_tokens = plan
    if per_tokens:  # what never fits waits for a full bucket
        per_tokens = tuple(one._replace(cost=min(tokens, one.capacity)) for one in per_tokens)
        demands += per_tokens
    if places and (full := buckets().enter(places, call_id)):
        kind, holder, limit = _told(full)
        raise LimitReached(kind, holder, limit, BUSY_SECONDS)
    if not demands:
        return Hold(call_id, demands, per_tokens, places, ())
    standings = buckets().take_all(demands)
    remaining = _remaining(demands, standings)
    longest = max(standings)[0]
    if longest:
        waits = [wait for wait, _ in standings]
        buckets().leave(places, call_id)
        kind, holder, limit = _told(demands[waits.index(longest)].key)
        raise LimitReached(kind, holder, limit, longest, remaining)
    return Hold(call_id, demands, per_tokens, places, remaining)


HOLDERS = ("user", "access token", "credential")
Holders = tuple[Any, int | None, uuid.UUID | None]
Plan = tuple[tuple[Place, ...], tuple[Demand, ...], tuple[Demand, ...]]


@lru_cache(4096)
def plan_of(holders: Holders) -> Plan:
    """Places, and demands of calls and of tokens, of those holders that have such limits. `holders`
    are ids in the order of HOLDERS, None for none."""
    places, calls, tokens = [], [], []
    for kind, pk in zip(HOLDERS, holders, strict=True):
        limit = limits_of(kind)
        if pk is None:
            continue
        if limit.concurrent:
            places.append(Place(f"concurrent:{kind}:{pk}", limit.concurrent))
        if limit.calls:
            calls.append(Demand(f"calls:{kind}:{pk}", limit.calls, MINUTE))
        if limit.tokens:
            tokens.append(Demand(f"tokens:{kind}:{pk}", limit.tokens, MINUTE))
    return tuple(places), tuple(calls), tuple(tokens)


@receiver(setting_changed)
def _plan_anew(**kwargs: Any) -> None:
    plan_of.cache_clear()
    note_change()


def limits_of(holder: str) -> Limits:
    return Limits(**settings.RATE_LIMITS[holder])


def _told(key: str) -> tuple[str, str, int]:
    """Kind, holder and limit of a bucket or place, by its key."""
    kind, holder, _ = key.split(":", 2)
    limit: int = getattr(limits_of(holder), kind)
    return kind, holder, limit


def _remaining(demands: tuple[Demand, ...], standings: list[Standing]) -> tuple[Remaining, ...]:
    """For calls and for tokens the limit that is nearest to being reached."""
    fewest: dict[str, Remaining] = {}
    for demand, (_, full_in) in zip(demands, standings, strict=True):
        share = 1 - full_in / demand.seconds
        kind, left = demand.kind, max(0, int(demand.capacity * share + 1e-6))
        known = fewest.get(kind)
        if known is None or left < known.left:
            fewest[kind] = Remaining(kind, demand.capacity, left, full_in)
    return tuple(fewest.values())
