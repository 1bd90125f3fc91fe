"""The head of an answer, in one message (`byom.one_message`) and as any server takes it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange

SCOPE = {"type": "http", "method": "GET", "path": "/v1/models", "headers": []}
EXTENDED = {**SCOPE, "extensions": {"byom.response": {}}}
Message = dict[str, Any]


def answered(scope: Message, headers: list[tuple[str, str]], body: bytes | None) -> list[Message]:
    """What is sent for a whole answer, or if there is no body for the start of a stream."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    async def scenario() -> None:
        exchange = Exchange(scope, receive, send)
        if body is None:
            await exchange.start(200, headers)
        else:
            await exchange.answer(200, headers, body)
        assert exchange.has_begun

    asyncio.run(scenario())
    return sent


@pytest.mark.parametrize("scope", [SCOPE, {**SCOPE, "extensions": None}], ids=["none", "null"])
def test_a_server_that_has_no_extension_gets_two_messages(scope: Message) -> None:
    start, body = answered(scope, [("a", "b: c"), ("d", "")], b"Hello")
    raw = [[b"a", b"b: c"], [b"d", b""], [b"content-length", b"5"]]
    assert start == {"type": "http.response.start", "status": 200, "headers": raw}
    assert body == {"type": "http.response.body", "body": b"Hello", "more_body": False}
    assert len(answered(scope, [], None)) == 1


def test_a_server_that_has_it_gets_one() -> None:
    [whole] = answered(EXTENDED, [("a", "b: c"), ("d", "")], b"Hello")
    assert whole == {
        "type": "byom.response",
        "status": 200,
        "lines": b"a: b: c\r\nd: \r\ncontent-length: 5\r\n",
        "body": b"Hello",
        "more_body": False,
    }
    [start] = answered(EXTENDED, [], None)
    assert start["lines"] == start["body"] == b"" and start["more_body"] is True


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\nb", "a\rb", "\0", "\x7f", "\t", "\x85", "\u2028", "ü", "\ud800"]
)
def test_what_is_no_plain_letter_gets_into_no_header(value: str) -> None:
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in value)
    [start] = answered(EXTENDED, [("a", value), ("b", "c")], None)
    assert start["lines"] == f"a: {plain}\r\nb: c\r\n".encode()


@given(st.lists(st.text(max_size=20), max_size=4))
def test_no_value_begins_a_header_or_ends_the_head(values: list[str]) -> None:
    headers = [("a", value) for value in values]
    [one] = answered(EXTENDED, headers, None)
    [usual] = answered(SCOPE, headers, None)
    assert one["lines"] == b"".join(b"%b: %b\r\n" % (n, v) for n, v in usual["headers"])
    assert len(usual["headers"]) == len(values) == one["lines"].count(b"\n")
    assert all(" " <= letter <= "~" for _, v in usual["headers"] for letter in v.decode())
