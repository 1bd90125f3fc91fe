from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credentials.limits import Buckets, LocalBuckets, RedisBuckets
from credentials.tests.factories import CredentialFactory

URL = "/api/v1/users/me/llm-credentials"
REDIS = "redis://127.0.0.1:6379/15"


def redis_answers() -> bool:
    try:
        with redis.Redis.from_url(REDIS, socket_connect_timeout=0.3) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


needs_redis = pytest.mark.skipif(not redis_answers(), reason="no Redis at 127.0.0.1:6379")


@pytest.fixture(params=["local", pytest.param("redis", marks=needs_redis)])
def buckets(request: pytest.FixtureRequest) -> Buckets:
    return LocalBuckets() if request.param == "local" else RedisBuckets(REDIS)


def test_a_bucket_lets_exactly_its_number_through_to_many_threads(buckets: Buckets) -> None:
    key, waits = str(uuid.uuid4()), []
    threads = [
        threading.Thread(target=lambda: waits.append(buckets.take(key, 20, 3600.0)))
        for _ in range(60)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert waits.count(0.0) == 20
    assert all(0 < wait <= 180 for wait in waits if wait)


def test_buckets_of_different_keys_are_apart(buckets: Buckets) -> None:
    one, two = str(uuid.uuid4()), str(uuid.uuid4())

    assert buckets.take(one, 1, 60.0) == 0
    assert buckets.take(one, 1, 60.0) == pytest.approx(60, abs=1)
    assert buckets.take(two, 1, 60.0) == 0


def test_a_bucket_refills_evenly() -> None:
    now = [0.0]
    buckets = LocalBuckets(clock=lambda: now[0])
    for _ in range(60):
        assert buckets.take("alice", 60, 60.0) == 0
    assert buckets.take("alice", 60, 60.0) == pytest.approx(1.0)
    now[0] = 1.0

    assert buckets.take("alice", 60, 60.0) == 0
    assert buckets.take("alice", 60, 60.0) == pytest.approx(1.0)


def test_without_redis_each_process_limits_by_itself() -> None:
    buckets = RedisBuckets("redis://127.0.0.1:1/0")

    assert buckets.take("x", 1, 60.0) == 0
    assert buckets.take("x", 1, 60.0) > 0


@pytest.mark.django_db
@pytest.mark.integration
@pytest.mark.parametrize(
    ("name", "verb", "path", "body"),
    [
        ("changes of keys", "patch", "/{pk}", {"label": "new"}),
        ("tests of keys", "post", "/{pk}/validate", {}),
        ("looks at single keys", "get", "/{pk}", {}),
    ],
)
def test_a_limit_answers_with_a_time_to_wait(
    api: APIClient, alice: User, simulator: Any, settings: Any,
    name: str, verb: str, path: str, body: dict[str, str],
) -> None:  # fmt: skip
    settings.CREDENTIAL_LIMITS = {**settings.CREDENTIAL_LIMITS, name: 2}
    row = CredentialFactory.create(owner=alice)
    answers = [
        getattr(api, verb)(URL + path.format(pk=row.pk), body, format="json") for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1700 < int(answers[2]["Retry-After"]) <= 1800
    assert answers[2].json()["code"] == "too_many_requests"
    assert "30 minutes" in answers[2].json()["detail"]
