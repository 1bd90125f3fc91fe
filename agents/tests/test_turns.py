"""Turns over the API: real HTTP to the simulator, real rows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import AsyncClient
from rest_framework.test import APIClient

from agents.models import AgentSession, Message
from byom.asgi import application
from byom.tests.live_server import serve
from credentials.models import AccessToken
from credentials.tests.factories import SIMULATOR_KEYS, CredentialFactory
from usage.models import Budget, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SESSIONS = "/api/v1/agent/sessions"
QUESTION = "What is the capital of France?"


def start(api: APIClient, **body: Any) -> str:
    response = api.post(SESSIONS, body, format="json")
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


def say(api: APIClient, session: str, content: str = QUESTION) -> Any:
    return api.post(f"{SESSIONS}/{session}/messages", {"content": content}, format="json")


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_a_turn_answers_on_the_own_key_and_has_its_ledger_row(
    api: APIClient, alice: User, simulator: Any, provider: str
) -> None:
    key = CredentialFactory.create(owner=alice, provider=provider)
    answer = say(api, start(api, credential_id=str(key.pk)))

    assert answer.status_code == 201
    assert answer.json()["message"]["content"].startswith("Paris")
    receipt, record = answer.json()["receipt"], UsageRecord.objects.get()
    assert receipt["call_id"] == str(record.pk)
    assert (record.provider, record.paid_by, record.status) == (provider, "user", "ok")
    assert record.input_tokens > 0 and record.output_tokens > 0
    assert record.cost_usd is not None and record.cost_usd > Decimal(0)
    assert record.ttft_ms is not None and 0 < record.ttft_ms <= record.latency_ms
    used = simulator.app.log[-1]
    assert used.key_sha256 == hashlib.sha256(SIMULATOR_KEYS[provider].encode()).hexdigest()


def test_without_a_key_the_simulator_answers_and_says_so(api: APIClient, simulator: Any) -> None:
    receipt = say(api, start(api)).json()["receipt"]

    assert (receipt["paid_by"], receipt["simulated"]) == ("system", True)


def test_the_receipt_warns_of_a_soft_budget(api: APIClient, alice: User, simulator: Any) -> None:
    Budget.objects.create(name="Lunch", user=alice, limit_units=1, is_hard=False)
    CredentialFactory.create(owner=alice)
    session = start(api)

    assert say(api, session).json()["receipt"]["warnings"] == ["The budget “Lunch” is overdrawn."]
    Budget.objects.all().delete()
    assert say(api, session).json()["receipt"]["warnings"] == []


def test_a_session_remembers_what_was_said(api: APIClient, simulator: Any) -> None:
    session = start(api, instructions="Be brief.")
    say(api, session, "My name is Ada.")
    answer = say(api, session, "What is my name?")

    assert "Ada" in answer.json()["message"]["content"]
    rows = api.get(f"{SESSIONS}/{session}/messages").json()
    assert [row["role"] for row in rows] == ["user", "assistant"] * 2
    assert rows[1]["record"]["cost_usd"] is not None


def test_parameters_of_the_session_win_over_those_of_the_credential(
    api: APIClient, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, params={"max_tokens": 50, "seed": 1})
    session = start(api, credential_id=str(key.pk), params={"max_tokens": 2})
    say(api, session)

    assert UsageRecord.objects.get().output_tokens == 2


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("401", 401, "authentication_failed"),
        ("403", 403, "permission_denied"),
        ("context", 400, "context_too_long"),
        ("quota", 402, "quota_spent"),
        ("429", 429, "rate_limited"),
        ("500", 503, "overloaded"),
        ("529", 503, "overloaded"),
        ("garbage", 502, "bad_answer"),
        ("drop", 502, "stream_broken"),
    ],
)
def test_a_failing_provider_is_told_and_settled(
    api: APIClient, alice: User, simulator: Any, no_retry_waits: None,
    monkeypatch: pytest.MonkeyPatch, fault: str, status: int, code: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("agents.tries.LONGEST_WAIT", 0.0)
    key = CredentialFactory.create(owner=alice, key=f"sk-sim-{fault}-1234567890")
    session = start(api, credential_id=str(key.pk))
    answer = say(api, session)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert key.api_key.reveal("test") not in answer.content.decode()
    record = UsageRecord.objects.get(attempt_of=None)
    assert (record.status, record.error_code) == ("error", code)
    assert answer.json().get("request_id", "") == record.request_id
    assert bool(record.request_id) is (fault not in ("garbage", "drop"))
    row = AgentSession.objects.get()
    assert row.status == "failed" and row.reason


def test_a_retryable_failure_is_tried_again_and_counted(
    api: APIClient, alice: User, simulator: Any, no_retry_waits: None
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-flaky-2-abcdefgh")
    answer = say(api, start(api, credential_id=str(key.pk)))

    assert answer.status_code == 201
    record = UsageRecord.objects.get(pk=answer.json()["receipt"]["call_id"])
    assert (record.status, record.retries) == ("ok", 2)
    earlier = UsageRecord.objects.filter(attempt_of=record.pk)
    assert [row.status for row in earlier] == ["error"] * 2


def test_a_broken_answer_keeps_what_arrived_and_is_estimated(
    api: APIClient, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-drop-1234567890")
    say(api, start(api, credential_id=str(key.pk)), "Explain what a relay is.")

    record = UsageRecord.objects.get()
    assert record.usage_source == "estimated"
    assert record.output_tokens > 0
    assert Message.objects.filter(role="assistant").get().text


def test_a_session_can_go_on_after_a_failure(
    api: APIClient, alice: User, simulator: Any, no_retry_waits: None
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-401-1234567890")
    session = start(api, credential_id=str(key.pk))
    say(api, session)
    key.set_api_key("sk-sim-ok-1234567890")
    key.save()

    assert say(api, session).status_code == 201
    assert AgentSession.objects.get().status == "completed"


def test_two_turns_at_once_are_refused(api: APIClient, simulator: Any) -> None:
    session = start(api)
    AgentSession.objects.filter(pk=session).update(status="running")

    answer = say(api, session)
    assert (answer.status_code, answer.json()["code"]) == (409, "turn_running")
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
async def test_of_turns_that_begin_at_the_same_moment_one_is_let_in(
    alice: User, simulator: Any
) -> None:
    token, session = await session_of(alice, "sk-sim-slow-1234567890")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"content": QUESTION}
    with serve(application) as url:
        address = f"{url}{SESSIONS}/{session.pk}/messages"
        async with httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http:
            answers = await asyncio.gather(*(http.post(address, json=body) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert refused == {"turn_running"}
    assert await Message.objects.filter(role="user").acount() == 1
    assert await UsageRecord.objects.acount() == 1


def test_a_terminated_session_stays_so(api: APIClient, simulator: Any) -> None:
    session = start(api)
    AgentSession.objects.filter(pk=session).update(status="terminated", reason="Its key went.")

    answer = say(api, session)
    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")
    assert "Its key went." in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"provider": "acme"}, 400),
        ({"credential_id": "00000000-0000-4000-8000-000000000000"}, 404),
        ({"credential_id": "x"}, 404),
        ({"params": {"heat": 1}}, 400),
        ({"provider": "openai_compatible"}, 400),
        ({"policy": "never"}, 400),
        ({"policy": "own_only"}, 409),
        ({"fallback": [{"provider": "acme"}]}, 400),
        ({"fallback": [{"credential_id": "00000000-0000-4000-8000-000000000000"}]}, 404),
        ({"fallback": [{}] * 6}, 400),
    ],
)
def test_a_session_that_could_not_call_is_not_stored(
    api: APIClient, simulator: Any, body: dict[str, Any], status: int
) -> None:
    response = api.post(SESSIONS, body, format="json")

    assert response.status_code == status
    assert response.json()["detail"]
    assert not AgentSession.objects.exists()


@pytest.mark.parametrize("content", ["", "   ", None, 5 * [1], {"a": 1}])
def test_an_empty_message_is_refused(api: APIClient, simulator: Any, content: Any) -> None:
    session = start(api)
    response = api.post(f"{SESSIONS}/{session}/messages", {"content": content}, format="json")

    assert response.status_code == 400
    assert not Message.objects.exists()


def test_another_persons_session_is_not_there(
    api: APIClient, bob: User, api_as: Any, simulator: Any
) -> None:
    session = start(api_as(bob))

    assert api.get(f"{SESSIONS}/{session}").status_code == 404
    assert say(api, session).status_code == 404
    assert api.delete(f"{SESSIONS}/{session}").status_code == 404
    assert api.get(SESSIONS).json()["results"] == []


def test_a_deleted_session_leaves_its_calls_in_the_ledger(api: APIClient, simulator: Any) -> None:
    session = start(api)
    say(api, session)

    assert api.delete(f"{SESSIONS}/{session}").status_code == 204
    assert UsageRecord.objects.count() == 1


def test_too_many_calls_are_refused_with_a_time_to_wait(
    api: APIClient, simulator: Any, settings: Any
) -> None:
    one_call = {"calls": 1, "tokens": 0, "concurrent": 0}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "user": one_call}
    session = start(api)
    assert say(api, session).status_code == 201

    answer = say(api, session)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) in range(50, 61)
    assert UsageRecord.objects.count() == 1


def parse(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in body.decode().split("\n\n"):
        if block:
            name, data = block.split("\n", 1)
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def stream(token: str, session: Any, content: str = QUESTION) -> list[tuple[str, Any]]:
    response = await AsyncClient().post(
        f"{SESSIONS}/{session}/messages",
        {"content": content, "stream": True},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert response["Content-Type"] == "text/event-stream"
    chunks = cast(StreamingHttpResponse, response)
    return parse(b"".join([chunk async for chunk in chunks]))


@sync_to_async
def session_of(user: User, key: str) -> tuple[str, AgentSession]:
    credential = CredentialFactory.create(owner=user, key=key)
    _, token = AccessToken.issue(user=user, name="test")
    return token, AgentSession.objects.create(owner=user, credential=credential)


@pytest.mark.django_db(transaction=True)
async def test_a_streamed_turn_tells_what_happens(alice: User, simulator: Any) -> None:
    token, session = await session_of(alice, "sk-sim-ok-1234567890")
    events = await stream(token, session.pk)

    names = [name for name, _ in events]
    assert names[0] == "started" and names[-1] == "done"
    assert set(names[1:-2]) == {"delta"} and names[-2] == "usage" and len(names) > 5
    text = "".join(data["text"] for name, data in events if name == "delta")
    assert text.startswith("Paris")
    assert events[-1][1]["message"]["content"] == text
    assert events[-1][1]["receipt"]["cost_usd"] is not None


@pytest.mark.django_db(transaction=True)
async def test_a_failure_in_a_stream_is_an_event(alice: User, simulator: Any) -> None:
    token, session = await session_of(alice, "sk-sim-401-1234567890")
    events = await stream(token, session.pk)

    assert events[-1][0] == "error"
    assert events[-1][1]["code"] == "authentication_failed"


async def provider_noticed(simulator: Any) -> None:
    """Waits until the provider has seen that nobody listens any more."""
    async with asyncio.timeout(5):
        while not any(entry.client_disconnected for entry in list(simulator.app.log)):
            await asyncio.sleep(0.01)


@pytest.mark.django_db(transaction=True)
async def test_leaving_a_stream_stops_the_provider_and_settles_by_estimate(
    alice: User, simulator: Any
) -> None:
    from agents.turns import begin_turn, stream_turn
    from usage.models import Surface

    _, session = await session_of(alice, "sk-sim-ok-1234567890")
    turn = await sync_to_async(begin_turn)(
        session=session, text="Explain everything at length, please.", surface=Surface.API
    )
    events = stream_turn(turn)
    async for event in events:
        if event.name == "delta":
            break
    await events.aclose()

    record = await UsageRecord.objects.aget()
    assert (record.status, record.usage_source) == ("cancelled", "estimated")
    assert record.output_tokens > 0 and record.input_tokens > 0
    row = await AgentSession.objects.aget()
    assert row.status == "cancelled"
    kept = await Message.objects.select_related("record").aget(role="assistant")
    assert kept.record == record and kept.text == turn.text
    await provider_noticed(simulator)


@pytest.mark.django_db(transaction=True)
async def test_a_client_that_hangs_up_on_the_real_server_ends_the_turn(
    alice: User, simulator: Any
) -> None:
    token, session = await session_of(alice, "sk-sim-ok-1234567890")
    headers = {"Authorization": f"Bearer {token}"}
    body = {"content": "Explain everything at length, please.", "stream": True}
    with serve(application) as url:
        address = f"{url}{SESSIONS}/{session.pk}/messages"
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20, trust_env=False) as http,
            http.stream("POST", address, json=body) as response,
        ):
            async for line in response.aiter_lines():
                if line == "event: delta":
                    break
        await provider_noticed(simulator)
        async with asyncio.timeout(5):
            while not await AgentSession.objects.filter(status="cancelled").aexists():
                await asyncio.sleep(0.02)

    record = await UsageRecord.objects.aget()
    assert (record.status, record.usage_source) == ("cancelled", "estimated")
    assert record.output_tokens > 0


def test_a_provider_that_does_not_answer_in_time_is_a_timeout(
    api: APIClient, alice: User, simulator: Any, no_retry_waits: None, settings: Any
) -> None:
    settings.CALL_TIMEOUT_SECONDS = 0.1
    key = CredentialFactory.create(owner=alice, key="sk-sim-hang-1234567890")
    answer = say(api, start(api, credential_id=str(key.pk)))

    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert UsageRecord.objects.get(attempt_of=None).retries == 3


def test_a_server_that_is_not_there_is_a_failed_connection(
    api: APIClient, alice: User, no_retry_waits: None, allow: Callable[..., None], settings: Any
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses at once
        port = unused.getsockname()[1]
        allow("127.0.0.1")
        key = CredentialFactory.create(
            owner=alice, provider="openai_compatible", key="sk-local-1234567890",
            model_name="llama", base_url=f"http://127.0.0.1:{port}/v1",
        )  # fmt: skip
        answer = say(api, start(api, credential_id=str(key.pk)))

    assert (answer.status_code, answer.json()["code"]) == (503, "connection_failed")


def test_a_refusal_in_the_middle_is_how_the_answer_ends(
    api: APIClient, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-refuse-1234567890")

    session = start(api, credential_id=str(key.pk))
    said = say(api, session).json()
    assert (said["finish_reason"], said["message"]["finish_reason"]) == ("refused", "refused")
    assert Message.objects.get(role="assistant").finish_reason == "refused"
