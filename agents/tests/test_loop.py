"""Sessions with tools, cancelling, recovery and switching: real HTTP to the simulator."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from agents import loop, running
from agents.models import LEASE, AgentSession, Message, ToolServer
from agents.services import cancel_turn
from agents.tests.test_turns import SESSIONS, say, start
from agents.turns import begin_turn, stream_turn
from credentials.services import delete_credential
from credentials.tests.factories import CredentialFactory
from usage.models import Surface, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SUM = "Use the calculator: what is 17 * 23?"


def begun(owner: User, text: str = SUM, **fields: Any) -> Any:
    session = AgentSession.objects.create(owner=owner, **fields)
    return begin_turn(session=session, text=text, surface=Surface.API)


@async_to_sync
async def events_of(turn: Any, *, until: str = "", then: Any = None) -> list[Any]:
    """All events; at the first one named `until`, `then` is done."""
    seen = []
    async for event in stream_turn(turn):
        seen.append(event)
        if event.name == until and then:
            await sync_to_async(then)()
            then = None
    return seen


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_the_model_gets_the_tools_result_and_answers(
    alice: User, simulator: Any, provider: str
) -> None:
    key = CredentialFactory.create(owner=alice, provider=provider)
    turn = begun(alice, credential=key, provider=provider, tools=["calculator"])
    events = events_of(turn)

    names = [event.name for event in events if event.name != "delta"]
    assert names == ["started", "usage", "tool_call", "tool_result", "usage", "done"]
    assert next(e for e in events if e.name == "tool_result").data["content"] == "391"
    done = events[-1].data
    assert "391" in done["message"]["content"]
    assert (done["steps"], done["total"]["calls"], len(done["receipts"])) == (2, 2, 2)
    assert UsageRecord.objects.count() == 2
    total = sum((row.cost_usd or Decimal(0) for row in UsageRecord.objects.all()), Decimal(0))
    assert Decimal(done["total"]["cost_usd"]) == total


def test_every_step_is_in_the_session(api: APIClient, simulator: Any) -> None:
    session = start(api, tools=["calculator", "current_time"])
    say(api, session, SUM)

    rows = api.get(f"{SESSIONS}/{session}/messages").json()
    assert [row["role"] for row in rows] == ["user", "assistant", "tool", "assistant"]
    call, result = rows[1]["parts"][-1], rows[2]["parts"][0]
    assert (call["type"], call["name"]) == ("tool_call", "calculator")
    assert (result["call_id"], result["content"], result["is_error"]) == (call["id"], "391", False)
    assert rows[1]["record"]["id"] != rows[3]["record"]["id"]
    assert say(api, session, "Thank you.").status_code == 201


def test_a_tool_that_fails_does_not_end_the_turn(api: APIClient, simulator: Any) -> None:
    session = start(api, tools=["current_time"])
    answer = say(api, session, "Use the current time tool for the zone Mars/Olympus.")

    assert answer.status_code == 201
    assert Message.objects.get(role="tool").parts[0]["content"]


def test_the_last_step_answers_in_words(
    alice: User, simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_STEPS", 1)

    events = events_of(begun(alice, tools=["calculator"]))
    assert "tool_call" not in [event.name for event in events]
    assert events[-1].data["finish_reason"] == "stop"


@pytest.mark.parametrize("tools", [["rm_rf"], ["mcp:nobody"], ["calculator", ""], "calculator"])
def test_tools_are_checked_at_creation(api: APIClient, simulator: Any, tools: Any) -> None:
    response = api.post(SESSIONS, {"tools": tools}, format="json")

    assert response.status_code == 400
    assert not AgentSession.objects.exists()


def test_fetching_needs_the_operators_consent(
    api: APIClient, simulator: Any, settings: Any
) -> None:
    settings.CUSTOM_BASE_URLS = False

    response = api.post(SESSIONS, {"tools": ["fetch_url"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (400, "base_urls_closed")


def test_a_colleagues_tool_server_is_not_there(api: APIClient, bob: User, simulator: Any) -> None:
    ToolServer.objects.create(owner=bob, name="bobs", url="https://bob.example/mcp")

    response = api.post(SESSIONS, {"tools": ["mcp:bobs"]}, format="json")
    assert (response.status_code, response.json()["code"]) == (400, "tool_not_found")


def test_cancelling_stops_the_turn_and_settles_by_estimate(alice: User, simulator: Any) -> None:
    turn = begun(alice, "Explain everything at length, please.")
    events = events_of(turn, until="delta", then=lambda: cancel_turn(session=turn.session))

    done = events[-1]
    assert (done.name, done.data["finish_reason"]) == ("done", "cancelled")
    assert done.data["message"]["content"] == turn.text
    record = UsageRecord.objects.get()
    assert (record.status, record.usage_source) == ("cancelled", "estimated")
    session = AgentSession.objects.get()
    assert (session.status, session.turn_id) == ("cancelled", None)
    assert events_of(begin_turn(session=session, text="Go on.", surface=Surface.API))


def test_a_cancel_from_another_process_is_heard_at_the_next_beat(
    alice: User, simulator: Any
) -> None:
    turn = begun(alice, "Explain everything at length, please.")

    def elsewhere() -> None:
        AgentSession.objects.update(cancel_requested=True)
        running.beat(list(running._turns.values()))

    assert events_of(turn, until="delta", then=elsewhere)[-1].data["finish_reason"] == "cancelled"


def test_cancelling_while_a_tool_runs_leaves_a_history_to_go_on_from(
    alice: User, simulator: Any
) -> None:
    turn = begun(alice, tools=["calculator"])
    events_of(turn, until="tool_call", then=lambda: cancel_turn(session=turn.session))

    session = AgentSession.objects.get()
    assert session.status == "cancelled"
    assert not Message.objects.filter(role="tool").exists()
    again = begin_turn(session=session, text="And now?", surface=Surface.API)
    assert events_of(again)[-1].name == "done"


def test_cancel_over_the_api(api: APIClient, simulator: Any) -> None:
    session = start(api)
    assert api.post(f"{SESSIONS}/{session}/cancel").status_code == 200
    AgentSession.objects.update(status="running", heartbeat_at=timezone.now())

    assert api.post(f"{SESSIONS}/{session}/cancel").status_code == 202
    assert AgentSession.objects.get().cancel_requested


def lose(session: str) -> None:
    long_ago = timezone.now() - 2 * LEASE
    AgentSession.objects.filter(pk=session).update(
        status="running", turn_id=uuid.uuid4(), heartbeat_at=long_ago
    )


def test_a_turn_that_died_with_its_process_is_failed_and_the_session_goes_on(
    api: APIClient, simulator: Any
) -> None:
    session = start(api)
    lose(session)
    assert running.fail_lost_turns() == 1
    assert running.fail_lost_turns() == 0

    row = api.get(f"{SESSIONS}/{session}").json()
    assert (
        row["status"] == "failed" and "its process" in row["reason"] or "process" in row["reason"]
    )
    assert say(api, session).status_code == 201


def test_the_next_turn_need_not_wait_for_the_job(api: APIClient, simulator: Any) -> None:
    session = start(api)
    lose(session)

    assert say(api, session).status_code == 201


def test_a_turn_that_beats_is_not_lost(alice: User) -> None:
    AgentSession.objects.create(
        owner=alice, status="running", heartbeat_at=timezone.now() - LEASE + timedelta(seconds=5)
    )
    assert running.fail_lost_turns() == 0


def test_a_turn_whose_session_was_given_away_stores_nothing_more(
    alice: User, simulator: Any
) -> None:
    turn = begun(alice, "Explain everything at length, please.")
    other = uuid.uuid4()
    events = events_of(turn, until="delta", then=lambda: AgentSession.objects.update(turn_id=other))

    assert events[-1].name == "done"
    assert not Message.objects.filter(role="assistant").exists()
    assert AgentSession.objects.get().turn_id == other


def test_a_session_whose_key_goes_stops_and_stays_ended(alice: User, simulator: Any) -> None:
    key = CredentialFactory.create(owner=alice)
    turn = begun(alice, "Explain everything at length.", credential=key, provider=key.provider)
    events = events_of(turn, until="delta", then=lambda: delete_credential(credential=key))

    assert events[-1].data["finish_reason"] == "cancelled"
    assert AgentSession.objects.get().status == "terminated"


def test_a_deleted_session_stops_its_turn(api: APIClient, alice: User, simulator: Any) -> None:
    turn = begun(alice, "Explain everything at length, please.")
    address = f"{SESSIONS}/{turn.session.pk}"

    assert events_of(turn, until="delta", then=lambda: api.delete(address))[-1].name == "done"
    assert not AgentSession.objects.exists()
    assert UsageRecord.objects.get().status == "cancelled"


def test_switching_the_model_is_noted_and_used(api: APIClient, alice: User, simulator: Any) -> None:
    session = start(api)
    say(api, session, "My name is Ada.")
    key = CredentialFactory.create(owner=alice, provider="anthropic", label="second")
    response = api.patch(f"{SESSIONS}/{session}", {"credential_id": str(key.pk)}, format="json")

    assert (response.status_code, response.json()["provider"]) == (200, "anthropic")
    note = Message.objects.get(role="note").text
    assert "usual selection order" in note and "Anthropic" in note
    answer = say(api, session, "What is my name?").json()
    assert "Ada" in answer["message"]["content"]
    assert answer["receipt"]["credential_id"] == str(key.pk)


def test_a_switch_that_could_not_call_changes_nothing(
    api: APIClient, bob: User, simulator: Any
) -> None:
    session = start(api, title="Before")
    foreign = CredentialFactory.create(owner=bob)
    response = api.patch(
        f"{SESSIONS}/{session}", {"title": "After", "credential_id": str(foreign.pk)}, format="json"
    )

    assert response.status_code == 404
    row = AgentSession.objects.get()
    assert (row.title, row.credential_id) == ("Before", None)
    assert not Message.objects.exists()


def test_other_fields_change_without_a_note(api: APIClient, simulator: Any) -> None:
    session = start(api, model="gpt-4o-mini")
    body = {"title": "Renamed", "tools": ["calculator"], "params": {"max_tokens": 9}}
    row = api.patch(f"{SESSIONS}/{session}", body, format="json").json()

    assert {name: row[name] for name in body} == body
    assert row["model"] == "gpt-4o-mini"
    assert not Message.objects.exists()


def test_a_session_that_answers_can_not_be_changed(api: APIClient, simulator: Any) -> None:
    session = start(api)
    AgentSession.objects.update(status="running")

    response = api.patch(f"{SESSIONS}/{session}", {"title": "New"}, format="json")
    assert (response.status_code, response.json()["code"]) == (409, "turn_running")


def test_sessions_are_found_by_what_was_said(api: APIClient, simulator: Any) -> None:
    session = start(api, title="Holidays")
    say(api, session, "Tell me about Lisbon.")
    start(api, title="Work", goal="Ship the release")

    found = {
        text: [row["title"] for row in api.get(SESSIONS, {"q": text}).json()["results"]]
        for text in ("lisbon", "RELEASE", "holiday", "nowhere")
    }
    assert found == {
        "lisbon": ["Holidays"], "RELEASE": ["Work"], "holiday": ["Holidays"], "nowhere": [],
    }  # fmt: skip


def test_an_image_goes_to_the_model_and_stays_in_the_session(
    api: APIClient, simulator: Any
) -> None:
    session = start(api)
    image = {"media_type": "image/png", "data": "iVBORw0KGgo="}
    body = {"content": "What is this?", "images": [image]}
    response = api.post(f"{SESSIONS}/{session}/messages", body, format="json")

    assert response.status_code == 201, response.content
    said = api.get(f"{SESSIONS}/{session}/messages").json()[0]["parts"]
    assert said == [{"type": "image", **image}, {"type": "text", "text": "What is this?"}]
    body["images"] = [{"media_type": "image/svg+xml", "data": "x"}]
    assert api.post(f"{SESSIONS}/{session}/messages", body, format="json").status_code == 400
