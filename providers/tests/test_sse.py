"""Reading a stream of server-sent events, however it is cut and whoever sends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from providers import sse
from providers.sse import ErrorEvent, read_events
from providers.vocabulary import JSON


class Body(httpx2.AsyncByteStream):
    """Chunks as they come from the network; `hangs` for one that stays open."""

    def __init__(self, *chunks: bytes, hangs: bool = False) -> None:
        self.chunks, self.hangs, self.was_read = chunks, hangs, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.hangs:
            await asyncio.Event().wait()
        self.was_read = True


async def read(*chunks: bytes) -> list[JSON]:
    return [event async for event in read_events(httpx2.Response(200, stream=Body(*chunks)))]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_events_may_be_cut_anywhere(size: int, end: str) -> None:
    lines = ["event: a", 'data: {"n": "ä"}', "", ": a comment", 'data:{"n":', "data: 2}", "", ""]
    body = end.join(lines).encode()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]

    assert await read(*chunks) == [{"n": "ä"}, {"n": 2}]


async def test_the_last_event_needs_no_empty_line_but_must_be_whole() -> None:
    assert await read(b'data: {"n": 1}') == [{"n": 1}]
    assert await read(b'data: {"n": 1}\n\ndata: {"n": ') == [{"n": 1}]


async def test_nothing_after_done_is_read_but_the_connection_is_left_clean() -> None:
    body = Body(b'data: {"n": 1}\n\ndata: [DONE]\n\n', b'data: {"n": 2}\n\n')
    events = [event async for event in read_events(httpx2.Response(200, stream=body))]

    assert events == [{"n": 1}]
    assert body.was_read


async def test_a_connection_that_stays_open_after_done_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "GRACE", 0.01)
    body = Body(b"data: [DONE]\n\n", hangs=True)

    assert [event async for event in read_events(httpx2.Response(200, stream=body))] == []


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"error": {"code": 503, "message": "Later"}}\n\n',
        b'{\n "error": {\n  "code": 503,\n  "message": "Later"\n }\n}\n',
        b'[{\n "error": {\n  "code": 503,\n  "message": "Later"\n }\n}\n]\n',
    ],
)
async def test_an_error_is_heard_in_an_event_and_in_place_of_events(body: bytes) -> None:
    with pytest.raises(ErrorEvent) as caught:
        await read(body)
    assert (caught.value.status, caught.value.body["error"]["message"]) == (503, "Later")


async def test_an_error_without_a_number_has_the_status_of_the_answer() -> None:
    with pytest.raises(ErrorEvent) as caught:
        await read(b'data: {"error": {"code": "no_more"}}\n\n')
    assert caught.value.status == 200


@pytest.mark.parametrize("data", [b"<html>", b'"text"', b"[1, 2]", b"\xff"])
async def test_what_is_no_object_is_no_event(data: bytes) -> None:
    with pytest.raises(ValueError):
        await read(b"data: " + data + b"\n\n")
