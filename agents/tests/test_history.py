"""What of a long session goes into the next call."""

from __future__ import annotations

from agents import parts
from agents.history import answered, cut, exchanges
from providers.vocabulary import Image, Message, Part, Text, ToolCall, ToolResult

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
