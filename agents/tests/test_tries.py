"""Retries, the fallback chain and the breaker, over the API and real HTTP to the simulator."""

from __future__ import annotations

import asyncio
import hashlib
from time import perf_counter
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from agents.models import AgentSession
from agents.services import create_session
from agents.tries import LONGEST_WAIT, RETRY_SECONDS, wait_before_retry
from agents.turns import begin_turn, whole_turn
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory
from providers.errors import (
    AuthenticationFailed,
    Overloaded,
    ProviderError,
    RateLimited,
    StreamBroken,
)
from usage.models import Budget, Reservation, Surface, UsageRecord

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.integration,
    pytest.mark.usefixtures("no_retry_waits"),
]
SESSIONS = "/api/v1/agent/sessions"
DOWN = "sk-sim-500-1234567890"  # 503 and 529 come with a time to wait


def start(api: APIClient, credential: LLMCredential, *fallback: dict[str, str]) -> str:
    body = {"credential_id": str(credential.pk), "fallback": fallback}
    response = api.post(SESSIONS, body, format="json")
    assert response.status_code == 201, response.content
    return f"{SESSIONS}/{response.json()['id']}/messages"


def say(api: APIClient, messages: str) -> Any:
    return api.post(messages, {"content": "What is the capital of France?"}, format="json")


def calls_of(simulator: Any, key: str) -> int:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return sum(entry.key_sha256 == digest for entry in simulator.app.log)


def by(credential: LLMCredential, model: str = "") -> dict[str, str]:
    return {"credential_id": str(credential.pk), "model": model}


def test_the_next_of_the_chain_takes_over_and_the_receipt_says_so(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    second = CredentialFactory.create(owner=alice, provider="google")
    answer = say(api, start(api, down, by(second, "gemini-2.5-pro")))

    assert answer.status_code == 201, answer.content
    receipt = answer.json()["receipt"]
    assert (receipt["provider"], receipt["credential_id"]) == ("google", str(second.pk))
    assert receipt["model"] == "gemini-2.5-pro"
    record = UsageRecord.objects.get(attempt_of=None)
    assert (str(record.pk), record.retries) == (receipt["call_id"], 4)


def test_every_try_has_its_ledger_row_under_its_own_key(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    also_down = CredentialFactory.create(owner=alice, provider="google", key="AIza-sim-500-12345")
    good = CredentialFactory.create(owner=alice, provider="anthropic")
    receipt = say(api, start(api, down, by(also_down), by(good))).json()["receipt"]

    tries = UsageRecord.objects.filter(attempt_of=receipt["call_id"]).order_by("created_at")
    keys = [row.credential_id for row in tries]
    assert keys == [down.pk] * 4 + [also_down.pk] * 4
    assert {(row.status, row.error_code) for row in tries} == {("error", "overloaded")}
    assert calls_of(simulator, DOWN) == 4


def test_one_row_is_left_of_a_chain_that_failed_to_its_end(
    api: APIClient, alice: User, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    last = CredentialFactory.create(owner=alice, key="sk-sim-429-1234567890")
    monkeypatch.setattr("agents.tries.LONGEST_WAIT", 0.0)
    answer = say(api, start(api, down, by(last)))

    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    final = UsageRecord.objects.get(attempt_of=None)
    assert (final.credential_id, final.error_code) == (last.pk, "rate_limited")
    assert set(UsageRecord.objects.exclude(pk=final.pk).values_list("attempt_of")) == {(final.pk,)}


@pytest.mark.parametrize(
    ("fault", "code"), [("401", "authentication_failed"), ("drop", "stream_broken")]
)
def test_no_other_takes_over_for_good_failures_nor_after_the_first_token(
    api: APIClient, alice: User, simulator: Any, fault: str, code: str
) -> None:
    first = CredentialFactory.create(owner=alice, key=f"sk-sim-{fault}-1234567890")
    second = CredentialFactory.create(owner=alice)
    answer = say(api, start(api, first, by(second)))

    assert answer.json()["code"] == code
    assert UsageRecord.objects.count() == 1


def test_a_key_of_the_chain_that_went_away_is_passed_over(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    gone = CredentialFactory.create(owner=alice)
    third = CredentialFactory.create(owner=alice, provider="google")
    messages = start(api, down, by(gone), by(third))
    LLMCredential.objects.filter(pk=gone.pk).update(is_active=False)

    assert say(api, messages).json()["receipt"]["credential_id"] == str(third.pk)


def test_a_provider_of_the_chain_that_lacks_what_is_asked_is_passed_over(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN, params={"seed": 7})
    good = CredentialFactory.create(owner=alice, provider="google")
    CredentialFactory.create(owner=alice, provider="anthropic")
    body = {
        "credential_id": str(down.pk),
        "params": {"seed": 7},
        "fallback": [{"provider": "anthropic"}, by(good)],
    }
    session = api.post(SESSIONS, body, format="json").json()["id"]

    answer = say(api, f"{SESSIONS}/{session}/messages")
    assert answer.json()["receipt"]["provider"] == "google"


def test_a_key_that_keeps_failing_is_suspended_and_nothing_more_is_sent(
    api: APIClient, alice: User, simulator: Any
) -> None:
    messages = start(api, CredentialFactory.create(owner=alice, key=DOWN))
    assert [say(api, messages).json()["code"] for _ in range(2)] == ["overloaded"] * 2
    sent = calls_of(simulator, DOWN)

    answer = say(api, messages)
    assert (answer.status_code, answer.json()["code"]) == (503, "suspended")
    assert 0 < int(answer["Retry-After"]) <= 30
    assert calls_of(simulator, DOWN) == sent


def test_the_chain_takes_over_at_once_from_a_suspended_key(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    second = CredentialFactory.create(owner=alice, provider="google")
    messages = start(api, down, by(second))
    for _ in range(2):
        say(api, messages)
    UsageRecord.objects.all().retire()

    assert say(api, messages).json()["receipt"]["provider"] == "google"
    assert UsageRecord.objects.get().retries == 0


def test_a_key_of_the_chain_whose_budget_has_no_room_is_passed_over(
    api: APIClient, alice: User, simulator: Any
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    poor = CredentialFactory.create(owner=alice)
    good = CredentialFactory.create(owner=alice, provider="google")
    Budget.objects.create(name="Poor", limit_units=1, credential=poor)
    whole = Budget.objects.create(name="All", limit_units=10**12, user=alice)

    receipt = say(api, start(api, down, by(poor), by(good))).json()["receipt"]
    assert receipt["credential_id"] == str(good.pk)
    whole.refresh_from_db()
    assert (whole.reserved_units, whole.spent_units > 0) == (0, True)
    assert not Reservation.objects.exists()


@pytest.mark.parametrize(
    ("retry_after", "retries", "least", "most"),
    [
        (None, 0, 0.75, 1.25),
        (None, 1, 1.5, 2.5),
        (None, 2, 3.0, 5.0),
        (7.0, 0, 7.0, 7.0),
        (0.0, 2, 0.0, 0.0),
        (LONGEST_WAIT, 1, LONGEST_WAIT, LONGEST_WAIT),
    ],
)
def test_waits_double_with_jitter_or_are_the_providers_own(
    monkeypatch: pytest.MonkeyPatch, retry_after: float | None, retries: int, least: float,
    most: float,
) -> None:  # fmt: skip
    monkeypatch.setattr("agents.tries.RETRY_SECONDS", RETRY_SECONDS)
    error = Overloaded("OpenAI", retry_after=retry_after)
    waits = [wait_before_retry(error, retries) for _ in range(200)]

    assert all(wait is not None and least <= wait <= most for wait in waits)
    assert (len(set(waits)) > 100) is (retry_after is None)


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        (Overloaded("OpenAI"), 3),
        (RateLimited("OpenAI", retry_after=LONGEST_WAIT + 1), 0),
        (AuthenticationFailed("OpenAI"), 0),
        (StreamBroken("OpenAI"), 0),
    ],
)
def test_there_is_no_fourth_retry_no_long_wait_and_none_for_good(
    error: ProviderError, retries: int
) -> None:
    assert wait_before_retry(error, retries) is None


def test_between_tries_the_call_waits(
    api: APIClient, alice: User, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tries.RETRY_SECONDS", (0.2, 0.4, 0.8))
    flaky = CredentialFactory.create(owner=alice, key="sk-sim-flaky-2-between-tries")
    begun = perf_counter()
    answer = say(api, start(api, flaky))

    assert answer.status_code == 201
    assert perf_counter() - begun > 0.75 * (0.2 + 0.4)


@pytest.mark.django_db(transaction=True)
async def test_turns_of_two_users_that_fall_back_at_once_stay_under_their_own_keys(
    alice: User, bob: User, simulator: Any
) -> None:
    sessions = await sync_to_async(falling_back)([alice, bob], count=24)
    await asyncio.gather(*(one_turn(session) for session in sessions))

    final = [row async for row in UsageRecord.objects.filter(attempt_of=None)]
    assert len(final) == 24 and {row.status for row in final} == {"ok"}
    rows = [row async for row in UsageRecord.objects.select_related("credential")]
    assert all(row.credential and row.credential.owner_id == row.user_id for row in rows)
    for user in (alice, bob):
        used = sum(row.user_id == user.pk for row in final)
        assert calls_of(simulator, f"sk-ant-sim-ok-{user.username}") == used == 12


def falling_back(people: list[User], *, count: int) -> list[AgentSession]:
    """Each person's sessions on a key of theirs that fails, with one behind it that works."""
    sessions = []
    for number in range(count // len(people)):
        for person in people:
            name = f"{person.username}-{number}"
            down = CredentialFactory.create(owner=person, key=f"sk-sim-500-{name}")
            good = LLMCredential.objects.filter(owner=person, provider="anthropic").first()
            good = good or CredentialFactory.create(
                owner=person, provider="anthropic", key=f"sk-ant-sim-ok-{person.username}"
            )
            chain = [by(good)]
            sessions.append(create_session(owner=person, credential_id=down.pk, fallback=chain))
    return sessions


async def one_turn(session: AgentSession) -> None:
    turn = await sync_to_async(begin_turn)(session=session, text="Hello", surface=Surface.API)
    await whole_turn(turn)
