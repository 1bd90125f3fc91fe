from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from agents.breaker import COOL_DOWN, FAILURES, WINDOW, Breaker, Suspended
from agents.clients import Selection
from agents.tests.test_turns import say, start
from credentials.tests.factories import CredentialFactory
from providers.errors import AuthenticationFailed, Overloaded, RateLimited, Unsupported
from usage.accounts import Payer
from usage.metrics import exposition


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def of(provider: str = "openai") -> Selection:
    payer = Payer(provider=provider, model="any", paid_by="system", is_simulated=True)
    return Selection(payer, None, None)


def fail(breaker: Breaker, times: int = FAILURES, retry_after: float | None = None) -> None:
    for _ in range(times):
        breaker.failed(of(), Overloaded("OpenAI", retry_after=retry_after))


def test_it_opens_after_repeated_failures_and_says_how_long(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.check(of())
    fail(breaker, 1)

    with pytest.raises(Suspended, match=r"OpenAI .* for 30 seconds") as caught:
        breaker.check(of())
    assert caught.value.retry_after == COOL_DOWN
    assert (caught.value.status, caught.value.code) == (503, "suspended")


def test_each_provider_and_key_has_its_own(breaker: Breaker) -> None:
    fail(breaker)

    breaker.check(of("anthropic"))


def test_after_the_cool_down_one_call_goes_to_try(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += COOL_DOWN

    breaker.check(of())
    with pytest.raises(Suspended):
        breaker.check(of())


def test_a_call_that_works_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += COOL_DOWN
    breaker.check(of())
    breaker.worked(of())

    breaker.check(of())
    breaker.check(of())


def test_a_try_that_fails_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += COOL_DOWN
    breaker.check(of())
    fail(breaker, 1)
    clock.now += COOL_DOWN - 1

    with pytest.raises(Suspended):
        breaker.check(of())


def test_a_try_that_got_lost_does_not_suspend_a_key_for_ever(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker)
    clock.now += COOL_DOWN
    breaker.check(of())
    clock.now += COOL_DOWN

    breaker.check(of())


def test_it_waits_as_long_as_the_provider_asks(breaker: Breaker, clock: Clock) -> None:
    for _ in range(FAILURES):
        breaker.failed(of(), RateLimited("OpenAI", retry_after=300.0))
    clock.now += 299

    with pytest.raises(Suspended):
        breaker.check(of())


def test_failures_of_long_ago_do_not_count(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES - 1)
    clock.now += WINDOW + 1
    fail(breaker, 1)

    breaker.check(of())


def test_an_answer_that_refuses_shows_that_the_provider_is_there(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.failed(of(), AuthenticationFailed("OpenAI", upstream_status=401))
    fail(breaker, 1)

    breaker.check(of())


def test_what_was_never_sent_says_nothing(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.failed(of(), Unsupported("OpenAI"))
    fail(breaker, 1)

    with pytest.raises(Suspended):
        breaker.check(of())


@pytest.mark.django_db
def test_metrics_tell_how_many_keys_are_suspended_now(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    trouble = Breaker(clock)
    monkeypatch.setattr("agents.receivers.breaker", trouble)
    fail(trouble)
    assert 'byom_suspended_keys{provider="openai"} 1.0' in exposition().decode()
    assert 'byom_suspended_keys{provider="google"} 0.0' in exposition().decode()

    clock.now += COOL_DOWN
    assert 'byom_suspended_keys{provider="openai"} 0.0' in exposition().decode()


@pytest.mark.django_db
def test_a_suspended_key_is_said_by_api_and_page(
    api: APIClient, alice: User, client: Client, simulator: Any, no_retry_waits: None
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-529-1234567890")
    session = start(api, credential_id=str(key.pk))
    say(api, session)  # four tries
    say(api, session)  # four more, the first of which suspends the key
    refused = say(api, session)

    assert (refused.status_code, refused.json()["code"]) == (503, "suspended")
    assert 0 < refused.json()["retry_after"] <= COOL_DOWN
    assert "Retry-After" in refused.headers
    client.force_login(alice)
    page = client.get(f"/chat/{session}/").content.decode()
    assert "The key is suspended for a while" in page
    assert "Calls to OpenAI on this key have failed several times in a row" in page
    assert f'<a href="/chat/{session}/change/">Choose another key or model</a>' in page
