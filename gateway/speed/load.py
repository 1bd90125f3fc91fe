"""Load: so many connections, each asking again as soon as it has been answered.

The client is as thin as can be, since it shares the machine with what it measures: it sends the
same bytes each time and looks for the end of an answer, no more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

STREAM_CHUNKS = 20
_MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
_PATIENCE = 5.0
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Target:
    """One of the things compared. `process` is the id of its worker, 0 where nobody asks; `others`
    are keys that connections take in turn with `key`."""

    name: str
    url: str
    key: str = field(repr=False)
    process: int = 0
    others: tuple[str, ...] = field(default=(), repr=False)

    def requests(self, *, stream: bool) -> list[bytes]:
        """The bytes of a request with each of the keys."""
        return [self._request(key, stream) for key in (self.key, *self.others)]

    def _request(self, key: str, stream: bool) -> bytes:
        address = urlsplit(self.url)
        asked = {"model": "gpt-4o-mini", "messages": _MESSAGES, "stream": stream}
        body = json.dumps(asked).encode()
        lines = [
            f"POST {address.path}/chat/completions HTTP/1.1",
            f"host: {address.netloc}",
            f"authorization: Bearer {key}",
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Tally:
    """What one round has seen; times in seconds. `firsts` are times to the first byte."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """Asks until `until`, one request after another."""

    def __init__(self, request: bytes, tally: Tally, until: float) -> None:
        self._request, self._tally, self._until = request, tally, until
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._ask()

    def _ask(self) -> None:
        self._received, self._first = b"", 0.0
        self._start = perf_counter()
        if self._start >= self._until:
            self._transport.close()
            self._end()
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._first = self._first or perf_counter()
        self._received += data
        if _is_whole(self._received):
            self._note(perf_counter())
            self._ask()

    def _note(self, now: float) -> None:
        if self._received.startswith(b"HTTP/1.1 200"):
            self._tally.times.append(now - self._start)
            self._tally.firsts.append(self._first - self._start)
        else:
            said = self._received[9:].partition(b"\r\n\r\n")
            shown = said[0][:3] + b" " + said[2][:_SHOWN]
            self._tally.failures.append(shown.decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._tally.failures.append("the connection was closed in the middle")
            self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


def _is_whole(received: bytes) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return False
    _, named, rest = head.lower().partition(b"\r\ncontent-length:")
    if named:
        return len(body) >= int(rest.split(b"\r\n", 1)[0])
    return body.endswith(b"0\r\n\r\n")


async def load(target: Target, *, connections: int, stream: bool, seconds: float) -> Tally:
    """One round. Requests under way at its end are awaited, and count."""
    tally = Tally()
    address = urlsplit(target.url)
    host, port = address.hostname or "", address.port or 80
    loop = asyncio.get_running_loop()
    requests = cycle(target.requests(stream=stream))
    start = perf_counter()
    made = [
        await loop.create_connection(
            lambda: _Connection(next(requests), tally, start + seconds), host, port
        )
        for _ in range(connections)
    ]
    _, unfinished = await asyncio.wait([one.over for _, one in made], timeout=seconds + _PATIENCE)
    tally.failures += ["no answer in time"] * len(unfinished)
    for transport, _ in made:
        transport.close()
    tally.seconds = perf_counter() - start
    return tally


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
