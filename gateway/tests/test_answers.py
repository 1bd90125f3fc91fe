"""Kept answers: for whom, for how long, of what; and what stands in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches

from benchmarks.simulator.server import SimulatorThread
from credentials.models import AccessToken, LLMCredential, ModelAlias
from credentials.services import delete_credential
from credentials.tests.factories import CredentialFactory
from gateway.answers import CACHE
from gateway.tests.sdks import Place
from gateway.tests.test_gateway import BODY, post
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
HIT = "x-byom-cache"
Door = Callable[..., Place]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    caches[CACHE].clear()
    yield
    caches[CACHE].clear()


@pytest.fixture
def key(alice: User, simulator: SimulatorThread) -> LLMCredential:
    made: LLMCredential = CredentialFactory.create(owner=alice)
    return made


@pytest.fixture
def door(server: str, alice: User) -> Door:
    """A token that keeps answers for an hour."""

    def make(user: User = alice, seconds: int = 3600) -> Place:
        _, token = AccessToken.issue(user=user, name="batch", cache_seconds=seconds)
        return Place(server, token)

    return make


def test_the_same_request_gets_the_same_answer_free_of_charge(
    simulator: SimulatorThread, key: LLMCredential, door: Door
) -> None:
    at = door()
    first, second = post(at), post(at)

    assert HIT not in first.headers and second.headers[HIT] == "hit"
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(simulator.app.log) == 1
    paid, free = UsageRecord.objects.order_by("created_at")
    assert paid.cost_usd and (free.cost_usd, free.input_tokens) == (Decimal(0), 0)
    assert (free.status, free.model_served) == ("ok", paid.model_served)
    assert second.headers["x-byom-call-id"] == str(free.pk)
    assert second.headers["x-byom-cost-usd"] in ("0", "0.000000000000")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {**BODY, "max_tokens": 50}),
        ("/v1/models/gpt-4o-mini:generateContent", {"contents": [{"parts": [{"text": "Hello"}]}]}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "one"}),
    ],
)
def test_translated_answers_and_embeddings_are_kept_too(
    simulator: SimulatorThread, key: LLMCredential, door: Door, path: str, body: Any
) -> None:
    at = door()
    answers = [post(at, path, body) for _ in range(2)]

    assert answers[0].status_code == 200 and answers[0].content == answers[1].content
    assert len(simulator.app.log) == 1 and answers[1].headers[HIT] == "hit"


@pytest.mark.usefixtures("key")
def test_nobody_gets_another_ones_answer(simulator: SimulatorThread, door: Door, bob: User) -> None:
    CredentialFactory.create(owner=bob)
    post(door())

    assert HIT not in post(door(bob)).headers
    assert len(simulator.app.log) == 2


@pytest.mark.parametrize(
    ("change", "headers"),
    [
        ({"temperature": 0.5}, {}),
        ({"model": "gpt-4o"}, {}),
        ({"stream": True}, {}),
        ({}, {"x-byom-cache": "no-store"}),
        ({}, {"x-byom-retries": "1"}),
        ({}, {"openai-beta": "new"}),
    ],
)
@pytest.mark.usefixtures("key")
def test_another_request_is_another_call(
    simulator: SimulatorThread, door: Door, change: dict[str, Any], headers: dict[str, str]
) -> None:
    at = door()
    post(at)
    answer = post(at, body={**BODY, **change}, headers=headers)

    assert HIT not in answer.headers and len(simulator.app.log) == 2


@pytest.mark.usefixtures("key")
def test_who_does_not_ask_for_it_has_no_cache(
    simulator: SimulatorThread, door: Door, place: Place
) -> None:
    post(door())

    assert HIT not in post(place).headers
    assert HIT not in post(door(seconds=0)).headers
    at = door()
    post(at, body={**BODY, "n": 1}, headers={"x-byom-cache": "no-store"})
    assert HIT not in post(at, body={**BODY, "n": 1}).headers


def test_a_key_that_is_gone_gives_no_old_answers(
    simulator: SimulatorThread, key: LLMCredential, door: Door, alice: User, settings: Any
) -> None:
    settings.FALLBACK_POLICY = "own_only"
    at = door()
    post(at)
    delete_credential(credential=key)

    assert post(at).status_code == 403


@pytest.mark.usefixtures("key")
def test_an_alias_that_has_moved_asks_anew(
    simulator: SimulatorThread, door: Door, alice: User
) -> None:
    row = ModelAlias.objects.create(
        owner=alice, name="fast", provider="openai", model_name="gpt-4o-mini"
    )
    at, body = door(), {**BODY, "model": "fast"}
    post(at, body=body)
    assert post(at, body=body).headers[HIT] == "hit"
    row.model_name = "gpt-4o"
    row.save()
    assert HIT not in post(at, body=body).headers


@pytest.mark.usefixtures("key")
def test_failures_and_large_answers_are_not_kept(
    simulator: SimulatorThread, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = door()
    for _ in range(2):
        assert post(at, headers={"x-sim-fault": "context"}).status_code == 400
    monkeypatch.setattr("gateway.answers.MOST_BYTES", 10)
    for _ in range(2):
        assert HIT not in post(at).headers
    assert len(simulator.app.log) == 4


@pytest.mark.usefixtures("key")
def test_what_stands_in_the_cache_can_not_be_read_or_moved(
    simulator: SimulatorThread, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, tuple[str, int]] = {}
    monkeypatch.setattr(
        type(caches[CACHE]), "set", lambda self, name, value, ttl: kept.update({name: (value, ttl)})
    )
    monkeypatch.setattr(
        type(caches[CACHE]),
        "get",
        lambda self, name: next(iter(kept.values()))[0] if kept else None,
    )
    at = door()
    post(at)
    ((place, (sealed, seconds)),) = kept.items()

    assert seconds == 3600 and "Paris" not in sealed and sealed.startswith("byom1:")
    assert HIT in post(at).headers
    # Another request finds it in its own place: sealed for that one it is not.
    assert HIT not in post(at, body={**BODY, "temperature": 0}).headers
