"""What of a long session goes into the next call."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from agents import parts
from agents.history import ANSWER_TOKENS, answered, cut, exchanges, next_request
from agents.models import AgentSession, Role
from agents.models import Message as Row
from providers.vocabulary import Image, Message, Part, Text, Tool, ToolCall, ToolResult

CALL = ToolCall("c1", "add", {"a": 1}, opaque="signed")
ASKS = Message("assistant", (Text("Let me see."), CALL))
RESULT = Message("user", (ToolResult("c1", "add", "2"),))
FIRST = [Message.user("one " * 30), ASKS, RESULT, Message.assistant("Two.")]
LAST = [Message.user("three"), Message.assistant("Four.")]


def test_what_fits_stays_whole() -> None:
    assert cut([*FIRST, *LAST], 10_000) == [*FIRST, *LAST]


def test_the_oldest_exchange_goes_first_and_as_a_whole() -> None:
    for room in range(20, 80):
        assert cut([*FIRST, *LAST], room) in (LAST, [*FIRST, *LAST])
    assert cut([*FIRST, *LAST], 30) == LAST


def test_the_last_exchange_always_goes_out() -> None:
    assert cut([*FIRST, *LAST], -5) == LAST


def test_a_result_belongs_to_the_exchange_of_its_call() -> None:
    assert exchanges([*FIRST, *LAST]) == [FIRST, LAST]


def test_a_call_whose_turn_was_broken_off_gets_a_result() -> None:
    whole = answered([Message.user("one"), ASKS, *LAST])

    result = whole[2].parts[0]
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.is_error) == ("c1", True)
    assert answered(FIRST) == FIRST


def test_parts_survive_storing_and_what_is_opaque_goes_to_its_provider_only() -> None:
    for part in (Text("a"), Image("image/png", b"\x00\xff"), CALL, RESULT.parts[0]):
        stored = parts.dump(part, "google")
        assert parts.load(stored, "google") == part

    elsewhere: Part = parts.load(parts.dump(CALL, "google"), "anthropic")
    assert isinstance(elsewhere, ToolCall) and elsewhere.opaque is None
    assert "opaque" not in parts.shown([parts.dump(CALL, "google")])[0]


GPT_4 = {"provider": "openai", "model": "gpt-4"}  # a window of 8,192 tokens
TOOL = Tool("weather", "x" * 3000, {})


@pytest.fixture
def long_session(alice: User) -> AgentSession:
    """Ten exchanges of some 1,000 estimated tokens each."""
    session = AgentSession.objects.create(owner=alice, goal="Learn.", instructions="Be brief.")
    for number in range(10):
        Row.append(session, Role.USER, f"{number} " + "q" * 1500)
        Row.append(session, Role.ASSISTANT, "a" * 1500)
    Row.append(session, Role.NOTE, "Switched.")
    Row.append(session, Role.USER, "And now?")
    return session


def asked(session: AgentSession, **more: Any) -> list[str]:
    """How the messages of the session's next call begin."""
    request = next_request(session, **{**GPT_4, "defaults": {}, **more})
    assert "Be brief." in request.system and "Learn." in request.system
    return [message.text.split()[0] for message in request.messages if message.role == "user"]


@pytest.mark.django_db
def test_a_call_leaves_out_what_the_window_has_no_room_for(long_session: AgentSession) -> None:
    """8,192 less 4,096 for the answer is room for four exchanges of 1,009 tokens."""
    assert ANSWER_TOKENS == 4096
    assert asked(long_session) == ["6", "7", "8", "9", "And"]
    assert asked(long_session, defaults={"max_tokens": 1000}) == [*"3456789", "And"]
    assert asked(long_session, params={"max_tokens": 100_000}) == ["6", "7", "8", "9", "And"]
    assert asked(long_session, tools=[TOOL]) == ["7", "8", "9", "And"]
    assert asked(long_session, model="gpt-4.1") == [*"0123456789", "And"]
    assert asked(long_session, provider="openai_compatible", model="x") == [*"0123456789", "And"]
    assert long_session.messages.count() == 22
