"""What a provider answers is bounded in values too, however it is sent and whichever SDK reads it.

A megabyte of `[],[],…` takes thirty of memory.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers import registry
from providers import sse as sse_module
from providers.bounds import MOST_ANSWERED
from providers.errors import BadAnswer, ProviderError
from providers.http import http_client
from providers.registry import make_client
from providers.tests.test_http import server
from providers.tests.wire import ask

KEY = "sk-proj-0123456789abcdefghijKEY"
TOO_MANY = b'{"x":[' + b"[]," * (MOST_ANSWERED + 1) + b"1]}"
JSON, EVENTS = "application/json", "text/event-stream"


async def fails(provider: str, url: str, *, streamed: bool) -> ProviderError:
    """How a call ends whose answer can't be read."""
    async with http_client() as http:
        client = make_client(provider, api_key=KEY, base_url=url, http=http, trusted=True)
        with pytest.raises(ProviderError) as caught:
            if streamed:
                [delta async for delta in client.stream(ask())]
            else:
                await client.complete(ask())
    return caught.value


@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize("content_type", [JSON, EVENTS, "text/plain"])
async def test_a_whole_answer_of_too_many_values_is_a_bad_answer(
    provider: str, content_type: str
) -> None:
    async with server(f"200 OK\r\nContent-Type: {content_type}", TOO_MANY) as (url, _):
        error = await fails(provider, url, streamed=False)

    assert isinstance(error, BadAnswer)
    assert "holds too many values" in str(error)


@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize("begin", [b"data: ", b"event: message_start\ndata: ", b""])
async def test_an_event_of_too_many_values_is_a_bad_answer(provider: str, begin: bytes) -> None:
    async with server(f"200 OK\r\nContent-Type: {EVENTS}", begin + TOO_MANY + b"\n\n") as (url, _):
        error = await fails(provider, url, streamed=True)

    assert isinstance(error, BadAnswer)
    assert "holds too many values" in str(error)


@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("content_type", [JSON, EVENTS])
async def test_a_refusal_of_too_many_values_is_not_read(
    provider: str, streamed: bool, content_type: str
) -> None:
    async with server(f"400 Bad\r\nContent-Type: {content_type}", TOO_MANY) as (url, _):
        error = await fails(provider, url, streamed=streamed)

    assert isinstance(error, BadAnswer)


@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_answer_nested_too_deeply_is_a_bad_answer(provider: str, streamed: bool) -> None:
    nested = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    body = b"data: " + nested + b"\n\n" if streamed else nested
    content_type = EVENTS if streamed else JSON
    async with server(f"200 OK\r\nContent-Type: {content_type}", body) as (url, _):
        error = await fails(provider, url, streamed=streamed)

    assert isinstance(error, BadAnswer)


def chat(arguments: str) -> Any:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "delta": message, "finish_reason": "tool_calls"}
    return {"object": "chat.completion", "model": "m", "choices": [choice]}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_arguments_of_a_tool_are_bounded_though_they_come_as_text(streamed: bool) -> None:
    answer = json.dumps(chat(TOO_MANY.decode())).encode()
    body = b"data: " + answer + b"\n\n" if streamed else answer
    content_type = EVENTS if streamed else JSON
    async with server(f"200 OK\r\nContent-Type: {content_type}", body) as (url, _):
        error = await fails("openai", url, streamed=streamed)

    assert isinstance(error, BadAnswer)
    assert "holds too many values" in str(error)


@pytest.mark.parametrize("endless", [b"data: x", b"data: x\n", b"x\n\n", b"data:\nx\n"])
async def test_what_waits_for_the_end_of_an_event_is_bounded(
    endless: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_module, "MOST_LINE_BYTES", 10_000)
    async with server(f"200 OK\r\nContent-Type: {EVENTS}", endless * 20_000) as (url, _):
        error = await fails("openai", url, streamed=True)

    assert isinstance(error, BadAnswer)
    assert "too long" in str(error)


async def test_a_long_text_is_no_value_however_it_looks() -> None:
    answer = chat("{}")
    answer["choices"][0]["message"] = {"role": "assistant", "content": "[], " * MOST_ANSWERED}
    content_type = f"Content-Type: {JSON}"
    async with (
        server(f"200 OK\r\n{content_type}", json.dumps(answer).encode()) as (url, _),
        http_client() as http,
    ):
        client = make_client("openai", api_key=KEY, base_url=url, http=http, trusted=True)
        assert len((await client.complete(ask())).text) == 4 * MOST_ANSWERED
