"""Many long streams at once, and clients that hardly read: what a worker takes for them."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from gateway.speed.figures import cpu_seconds
from gateway.speed.load import Target, percentile
from gateway.speed.upstream import PIECE_SECONDS

OPENED_AT_ONCE = 100
SLOW_MEGABYTES = 64  # of each stream that is read slowly
_PATIENCE = 30.0
_LOOK_SECONDS = 0.5
_SENT_AT = re.compile(rb'"at (\d+\.\d+) ')
_SHOWN = 200


class Broken(Exception):
    """A stream was closed that should not have been."""


@dataclass(slots=True)
class Held:
    """What so many streams at once came to. `lags` are seconds from a piece's leaving the upstream
    to its arrival; `at_once` is how many were open when the last of them had begun."""

    streams: int
    whole: int = 0
    at_once: int = 0
    seconds: float = 0.0
    lags: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Slow:
    """What clients that read a byte a second came to: megabytes that the upstream got rid of."""

    readers: int
    seconds: float
    written_mb: float = 0.0
    asked_mb: float = 0.0


@dataclass(slots=True)
class Taken:
    """What a worker took at most: megabytes of memory (resident; and its fair part of what it
    shares), open files; and CPU seconds all in all."""

    before_mb: float = 0.0
    resident_mb: float = 0.0
    own_mb: float = 0.0
    files: int = 0
    cpu_seconds: float = 0.0


def request(target: Target, header: str) -> bytes:
    """The bytes of a request for a stream, of the kind that the header asks the upstream for."""
    ask = target.requests(stream=True)[0]
    return ask.replace(b"\r\ncontent-type:", f"\r\n{header}\r\ncontent-type:".encode(), 1)


class _Stream(asyncio.Protocol):
    """One stream, looked at until its end. It keeps the last line only."""

    def __init__(self, ask: bytes, pieces: int, held: Held) -> None:
        self._ask, self._expected, self._held = ask, pieces, held
        self._pieces, self._rest, self._head = 0, b"", b""
        self.begun = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._ask)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._head = (self._head + data)[:_SHOWN] if len(self._head) < _SHOWN else self._head
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._pieces += b'"content":' in line
            self.begun = self.begun or self._pieces > 0
            if sent := _SENT_AT.search(line):
                self._held.lags.append(now - float(sent[1]))
            if line.startswith(b"data: [DONE]"):
                self._end()
        if self._head.startswith(b"HTTP/1.1 ") and not self._head.startswith(b"HTTP/1.1 200"):
            self._break(self._head.decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"closed after {self._pieces} of {self._expected} pieces")

    def _end(self) -> None:
        if self._pieces != self._expected:
            self._break(f"ended after {self._pieces} of {self._expected} pieces")
        elif not self.over.done():
            self._held.whole += 1
            self.over.set_result(None)

    def _break(self, why: str) -> None:
        if not self.over.done():
            self._held.broken.append(why)
            self.over.set_result(None)

    def hang_up(self) -> None:
        self._break("not over in time")
        self._transport.close()


async def hold(target: Target, *, streams: int, seconds: int) -> Held:
    """Opens the streams, some at a time, and reads them to their end."""
    held = Held(streams)
    ask = request(target, f"x-sim-seconds: {seconds}")
    pieces = 1 + round(seconds / PIECE_SECONDS)
    host, port = _place(target)
    loop, start = asyncio.get_running_loop(), time.monotonic()
    made: list[_Stream] = []
    while len(made) < streams:
        some = min(OPENED_AT_ONCE, streams - len(made))
        batch = [_Stream(ask, pieces, held) for _ in range(some)]
        for one in batch:
            await loop.create_connection(partial(_same, one), host, port)
        await _until(partial(_all_begun, batch))
        made += batch
    held.at_once = sum(not one.over.done() for one in made)
    await asyncio.wait([one.over for one in made], timeout=seconds + _PATIENCE)
    held.seconds = time.monotonic() - start
    for one in made:
        one.hang_up()
    return held


def _place(target: Target) -> tuple[str, int]:
    address = urlsplit(target.url)
    return address.hostname or "", address.port or 80


def _same(stream: _Stream) -> _Stream:
    return stream


def _all_begun(batch: list[_Stream]) -> bool:
    return all(one.begun or one.over.done() for one in batch)


async def _until(condition: Callable[[], bool]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


async def read_slowly(target: Target, upstream: Target, *, readers: int, seconds: float) -> Slow:
    """Asks for large streams and takes a byte of each a second, for so long; then leaves."""
    slow = Slow(readers, seconds, asked_mb=float(readers * SLOW_MEGABYTES))
    ask = request(target, f"x-sim-megabytes: {SLOW_MEGABYTES}")
    before = await _written(upstream)
    await asyncio.gather(*(_read_slowly(target, ask, seconds) for _ in range(readers)))
    slow.written_mb = (await _written(upstream) - before) / 2**20
    return slow


async def _read_slowly(target: Target, ask: bytes, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await loop.sock_connect(line, _place(target))
        await loop.sock_sendall(line, ask)
        until = loop.time() + seconds
        while loop.time() < until:
            if not await loop.sock_recv(line, 1):
                raise Broken("A stream was closed on a reader that is slow.")
            await asyncio.sleep(1)


async def _written(upstream: Target) -> int:
    """What the upstream has got rid of, in bytes."""
    reader, writer = await asyncio.open_connection(*_place(upstream))
    writer.write(b"GET /written HTTP/1.1\r\nhost: upstream\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    told = await reader.read(100)
    writer.close()
    return int(told)


@asynccontextmanager
async def watched(process: int) -> AsyncGenerator[Taken]:
    """What the process takes within, looked at twice a second. Zeros where there is no /proc."""
    taken = Taken(before_mb=memory_mb(process))
    before = cpu_seconds(process) or 0.0
    looking = asyncio.create_task(_look(process, taken))
    try:
        yield taken
    finally:
        looking.cancel()
        taken.cpu_seconds = (cpu_seconds(process) or 0.0) - before


async def _look(process: int, taken: Taken) -> None:
    while True:
        taken.resident_mb = max(taken.resident_mb, memory_mb(process))
        taken.own_mb = max(taken.own_mb, memory_mb(process, "Pss", "smaps_rollup"))
        with suppress(OSError):
            taken.files = max(taken.files, len(list(Path(f"/proc/{process}/fd").iterdir())))
        await asyncio.sleep(_LOOK_SECONDS)


def memory_mb(process: int, name: str = "VmRSS", file: str = "status") -> float:
    """Megabytes, by one line of what /proc tells of a process."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def lag_ms(held: Held, share: float) -> float:
    return round(percentile(held.lags, share) * 1000, 1)
