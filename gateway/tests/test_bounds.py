"""How many values JSON may hold, whatever its strings hold."""

from __future__ import annotations

import json

import pytest

from gateway.asked import read_request
from gateway.errors import BadBody
from gateway.routes import route
from providers.bounds import MOST_ASKED, holds_too_much

CHAT = route("POST", "/v1/chat/completions")


@pytest.mark.parametrize(
    "value", [b"[]", b"{}", b"1", b'"ab"', rb'"\""', rb'"\\"', b"[[1]]", b'{"a":1}', b'{"a":"b"}']
)
def test_a_request_of_millions_of_values_is_refused(value: bytes) -> None:
    body = b'{"model":"m","messages":[' + b",".join([value] * 3 * MOST_ASKED) + b"]}"
    with pytest.raises(BadBody, match="500,000 values"):
        read_request(CHAT, body)


@pytest.mark.parametrize("said", ["One, two, [three]. ", '"{', '\\"', "\\", '{"a": [1, 2]}, '])
def test_text_is_no_value_however_it_looks(said: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"content": said * MOST_ASKED}]}).encode()
    assert read_request(CHAT, body).model == "m"


def test_embeddings_of_as_many_tokens_as_openai_takes_are_read() -> None:
    body = json.dumps({"model": "m", "input": [list(range(3_000))] * 100}).encode()
    assert not holds_too_much(body, MOST_ASKED)
