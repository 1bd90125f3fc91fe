"""Streams of server-sent events, read as plain JSON.

The SDKs make the request and judge the answer's status. Their objects for each event of a stream
would cost several times all that a turn does with it, so the events are read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2

from providers.bounds import MOST_LINE_BYTES
from providers.http import UnreadableAnswer, read_json
from providers.vocabulary import JSON

DONE = b"[DONE]"
GRACE = 0.25  # seconds for the end of the body once the stream has said that it is over


class ErrorEvent(Exception):
    """The provider told of an error where the answer should be."""

    def __init__(self, body: JSON, response: httpx2.Response) -> None:
        super().__init__()
        self.body, self.headers = body, response.headers
        error = body.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        self.status = code if isinstance(code, int) else response.status_code


async def read_events(response: httpx2.Response) -> AsyncGenerator[JSON]:
    """The JSON objects of the stream, until `[DONE]` or the end.

    Raises ErrorEvent, UnreadableAnswer where an event is too much to be read, and ValueError for
    data that is no JSON object.
    """
    lines, chunks = _Lines(), response.aiter_bytes()
    async for chunk in chunks:
        for data in lines.feed(chunk):
            if data == DONE:
                await _drain(chunks)
                return
            yield _event(data, response)
    with suppress(ValueError):  # what is not whole was cut off
        for data in lines.rest():
            if data != DONE:
                yield _event(data, response)


def _event(data: bytes, response: httpx2.Response) -> JSON:
    event = read_json(data)
    if isinstance(event, list) and len(event) == 1:
        event = event[0]
    if not isinstance(event, dict):
        raise ValueError("an event is not an object")
    if event.get("error"):
        raise ErrorEvent(event, response)
    return event


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Reads to the end of the body, so that the connection can serve another call."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(GRACE):
            async for _ in chunks:
                pass


@dataclass(slots=True)
class _Lines:
    """The data of events, from bytes cut anywhere.

    What is neither a field nor a comment is kept: in place of a stream, a server may send an error
    as it is. Raises UnreadableAnswer where too much would have to wait for its end.
    """

    _partial: bytearray = field(default_factory=bytearray)
    _data: bytearray = field(default_factory=bytearray)
    _stray: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if b"\n" not in chunk:
            _append(self._partial, chunk)
            return
        *lines, rest = (bytes(self._partial) + chunk if self._partial else chunk).split(b"\n")
        self._partial = bytearray(rest)
        for line in lines:
            if data := self._line(line.removesuffix(b"\r")):
                yield data

    def rest(self) -> Iterator[bytes]:
        """What no empty line has ended."""
        yield from self.feed(b"\n\n")
        if self._stray:
            yield bytes(self._stray)

    def _line(self, line: bytes) -> bytes:
        """The data of the event that the line ends, if it ends one."""
        if line.startswith(b"data:"):
            _append(self._data, line[5:].removeprefix(b" ") + b"\n")
        elif not line:
            data, self._data = bytes(self._data[:-1]), bytearray()
            return data
        elif not line.startswith((b"event:", b"id:", b"retry:", b":")):
            _append(self._stray, line + b"\n")
        return b""


def _append(waiting: bytearray, piece: bytes) -> None:
    waiting += piece
    if len(waiting) > MOST_LINE_BYTES:
        raise UnreadableAnswer("an event of the stream is too long")
