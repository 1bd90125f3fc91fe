"""Streams of server-sent events, read as plain JSON.

The SDKs make the request and judge the answer's status. Their objects for each event of a stream
would cost several times all that a turn does with it, so the events are read here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2

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

    Raises ErrorEvent, and ValueError for data that is no JSON object.
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
    event = json.loads(data)
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
    as it is.
    """

    _partial: list[bytes] = field(default_factory=list)
    _data: list[bytes] = field(default_factory=list)
    _stray: list[bytes] = field(default_factory=list)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        self._partial.append(chunk)
        if b"\n" not in chunk:
            return
        *lines, rest = b"".join(self._partial).split(b"\n")
        self._partial = [rest]
        for line in lines:
            if data := self._line(line.removesuffix(b"\r")):
                yield data

    def rest(self) -> Iterator[bytes]:
        """What no empty line has ended."""
        yield from self.feed(b"\n\n")
        if self._stray:
            yield b"\n".join(self._stray)

    def _line(self, line: bytes) -> bytes:
        """The data of the event that the line ends, if it ends one."""
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line:
            data, self._data = b"\n".join(self._data), []
            return data
        elif not line.startswith((b"event:", b"id:", b"retry:", b":")):
            self._stray.append(line)
        return b""
