from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from credentials.limits import Buckets, LocalBuckets, RedisBuckets
from credentials.places import LOST_SECONDS
from credentials.tests.test_limits import REDIS, needs_redis
from usage import rates
from usage.rates import Hold, LimitReached, plan_of, take

pytestmark = pytest.mark.integration


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def use(monkeypatch: pytest.MonkeyPatch, buckets: Buckets) -> None:
    monkeypatch.setattr(rates, "buckets", lambda: buckets)


@pytest.fixture
def local(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> LocalBuckets:
    buckets = LocalBuckets(clock)
    use(monkeypatch, buckets)
    return buckets


@pytest.fixture(params=["local", pytest.param("redis", marks=needs_redis)])
def buckets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use(monkeypatch, LocalBuckets() if request.param == "local" else RedisBuckets(REDIS))
    yield


def allow(settings: Any, holder: str, **changed: int) -> None:
    none = {"calls": 0, "tokens": 0, "concurrent": 0}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, holder: {**none, **changed}}


def call(*, tokens: int = 0, user: object = "u", token: Any = None, key: Any = None) -> Hold:
    return take(str(uuid.uuid4()), plan_of((user, token, key)), tokens)


def refused(**facts: Any) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        call(**facts)
    return caught.value


def test_without_limits_nothing_is_counted(local: LocalBuckets) -> None:
    assert (call().demands, call().places) == ((), ())


@pytest.mark.parametrize("holder", ["user", "access token", "credential"])
def test_each_holder_has_limits_of_its_own(local: LocalBuckets, settings: Any, holder: str) -> None:
    allow(settings, holder, calls=2)
    name = {"user": "user", "access token": "token", "credential": "key"}[holder]
    call(**{name: 1})
    call(**{name: 1})

    error = refused(**{name: 1})
    assert (error.kind, error.holder, error.limit, round(error.wait)) == ("calls", holder, 2, 30)
    call(**{name: 2})


def test_what_one_limit_refuses_costs_the_others_nothing(
    local: LocalBuckets, settings: Any
) -> None:
    allow(settings, "user", calls=2, concurrent=5)
    allow(settings, "credential", calls=1)
    call(key="k")

    refused(key="k")
    refused(key="k")
    assert call(key="other").remaining[0].left == 0


def test_tokens_are_settled_after_the_call_and_debt_is_waited_out(
    local: LocalBuckets, settings: Any, clock: Clock
) -> None:
    allow(settings, "user", tokens=1000)
    call(tokens=400).settle(1500)

    assert round(refused(tokens=100).wait) == 36  # 500 of debt and 100 to take, 1000 a minute
    clock.now = 37
    assert call(tokens=100).remaining[0].left == 16


def test_a_call_that_used_less_gives_the_rest_back(local: LocalBuckets, settings: Any) -> None:
    allow(settings, "user", tokens=1000)
    call(tokens=900).settle(100)

    assert call(tokens=900).remaining[0].left == 0


def test_a_call_larger_than_the_limit_waits_for_a_full_bucket(
    local: LocalBuckets, settings: Any
) -> None:
    allow(settings, "user", tokens=1000)

    call(tokens=5000).settle(1000)
    assert round(refused(tokens=5000).wait) == 60


def test_a_cancelled_call_has_cost_nothing(local: LocalBuckets, settings: Any) -> None:
    allow(settings, "user", calls=1, tokens=100, concurrent=1)
    call(tokens=100).cancel()

    call(tokens=100)


def test_a_place_is_free_again_when_its_call_is_settled(buckets: None, settings: Any) -> None:
    allow(settings, "user", concurrent=2)
    user = uuid.uuid4()
    first = call(user=user)
    call(user=user)

    error = refused(user=user)
    assert (error.kind, error.limit) == ("concurrent", 2)
    first.settle(0)
    call(user=user)


def test_a_place_that_nobody_gives_back_is_free_in_the_end(
    local: LocalBuckets, settings: Any, clock: Clock
) -> None:
    allow(settings, "user", concurrent=1)
    call()
    refused()

    clock.now = LOST_SECONDS + 1
    call()


def test_a_refusal_by_calls_leaves_no_place_taken(buckets: None, settings: Any) -> None:
    user = uuid.uuid4()
    allow(settings, "user", calls=1, concurrent=2)
    call(user=user)
    for _ in range(3):
        assert refused(user=user).kind == "calls"


def test_many_threads_get_exactly_what_there_is(buckets: None, settings: Any) -> None:
    allow(settings, "user", tokens=1000, concurrent=50)
    allow(settings, "credential", calls=7)
    user, key = uuid.uuid4(), uuid.uuid4()
    served: list[Hold] = []

    def ask() -> None:
        with suppress(LimitReached):
            served.append(call(user=user, key=key, tokens=100))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(served) == 7


@needs_redis
def test_adjusting_in_redis_is_the_same_arithmetic(settings: Any, monkeypatch: Any) -> None:
    use(monkeypatch, RedisBuckets(REDIS))
    allow(settings, "user", tokens=1000)
    user = uuid.uuid4()
    call(user=user, tokens=400).settle(1500)

    assert 35 < refused(user=user, tokens=100).wait <= 36.1


def test_limits_hold_in_this_process_while_redis_is_out_of_reach(
    settings: Any, monkeypatch: Any
) -> None:
    use(monkeypatch, RedisBuckets("redis://127.0.0.1:1/0"))
    allow(settings, "user", calls=1, concurrent=1)
    hold = call()
    refused()
    hold.settle(0)

    assert refused().kind == "calls"
