"""One HTTP exchange with a client, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from time import monotonic, perf_counter
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from gateway.deadlines import Patience
from gateway.errors import BodyTooLarge, BodyTooSlow, ClientGone
from providers.http import MAX_BODY_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]
T = TypeVar("T")

IDLE_SECONDS = 30.0  # between two pieces of a body
BODY_SECONDS = 300.0  # for all of it
_AT_LEAST_SECONDS = 0.05
_CONTROLS = bytes([*range(32), 127])
STREAM_HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))


class Head:
    """The headers of an answer, written out: `lines` are as `byom.one_message` wants them. Making
    one takes longer than adding to it, so one is made while something else is waited for."""

    __slots__ = ("lines", "pairs")

    def __init__(self, headers: Headers) -> None:
        self.pairs = [*headers]
        self.lines = _lines(self.pairs)

    def add(self, name: str, value: str) -> None:
        """What we say ourselves: printable ASCII."""
        self.pairs.append((name, value))
        self.lines += f"{name}: {value}\r\n".encode("ascii")


class Exchange:
    """A request and the response to it, for use within the `with` of its `patience`. Header names
    are in lower case, as ASGI has them.

    Writing waits until the client has taken what was written before: that is the back-pressure
    which a relay hands on to the provider. `write_at_once` doesn't wait, and takes less: False says
    that it has written nothing, and that it is for `write`.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        extension: dict[str, Any] | None = (scope.get("extensions") or {}).get("byom.response")
        self._takes_one_message = extension is not None
        self.write_at_once: Callable[[bytes], bool] = (extension or {}).pop("write", _not_now)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.keeps: Callable[[list[tuple[str, str]], bytes], Awaitable[None]] | None = None
        self.patience = Patience()
        self._is_gone = self.has_begun = False
        self._begun = perf_counter()
        self._waited = 0.0
        query = scope.get("query_string")
        self.query = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []

    def seconds(self) -> float:
        """How long this has taken until now, without the wait for the client's own body."""
        return perf_counter() - self._begun - self._waited

    async def body(self) -> bytes:
        """The whole request body. Raises BodyTooLarge, BodyTooSlow and ClientGone."""
        start = perf_counter()
        self.patience.at = monotonic() + IDLE_SECONDS
        try:
            return await self._body()
        except asyncio.CancelledError:
            if self.patience.was_it():
                raise BodyTooSlow from None
            raise
        finally:
            self.patience.at = None
            self._waited += perf_counter() - start

    async def _body(self) -> bytes:
        declared = self.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            raise _too_large()
        latest = 0.0
        body = bytearray()  # a list of pieces, of a byte each, would take many times as much
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            if len(body) + len(piece) > MAX_BODY_BYTES:
                raise _too_large()
            if not message.get("more_body", False):
                return bytes(body + piece) if body else piece
            body += piece
            latest = latest or monotonic() + BODY_SECONDS
            self.patience.at = min(monotonic() + IDLE_SECONDS, latest)

    async def while_connected(
        self, work: Coroutine[Any, Any, T], seconds: float | None = None
    ) -> T:
        """The result of `work`, which is cancelled, and has ended, once the client goes away or
        the time is over (`patience.allow` gives it more).

        For use after the body has been read. Raises ClientGone, TimeoutError and whatever `work`
        raises. Nobody looks for the client at once: most answers are there sooner than it could
        leave.
        """
        watching: list[asyncio.Task[None]] = []

        def watch() -> None:
            watching.append(asyncio.ensure_future(self._end_with_client()))

        self.patience.begin(seconds, _AT_LEAST_SECONDS, watch)
        try:
            return await work
        except asyncio.CancelledError:
            if self.patience.was_it():
                raise (ClientGone if self._is_gone else TimeoutError) from None
            raise
        finally:
            self.patience.end()
            for task in watching:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _end_with_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self.patience.ring()

    async def start(self, status: int, headers: Headers, data: bytes = b"") -> None:
        """`data` is what there is to write already."""
        await self._begin(status, _lines(headers), data)

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(self, status: int, headers: Headers | Head, body: bytes) -> None:
        """A whole response at once; `keeps` is told of a good one first, as who has read it may
        leave, or ask again, at once."""
        head = headers if isinstance(headers, Head) else Head(headers)
        head.add("content-length", str(len(body)))
        if self.keeps and status == 200:
            await self.keeps(head.pairs, body)
        await self._begin(status, head.lines, body, more=False)

    async def _begin(self, status: int, lines: bytes, body: bytes = b"", more: bool = True) -> None:
        """In one message where the server knows that (`byom.one_message`)."""
        self.has_begun = True
        if self._takes_one_message:
            await self._send(
                {
                    "type": "byom.response",
                    "status": status,
                    "lines": lines,
                    "body": body,
                    "more_body": more,
                }
            )
            return
        pairs = [line.split(b": ", 1) for line in lines.splitlines()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})
        if not more:
            await self.end(body)
        elif body:
            await self.write(body)


def _not_now(data: bytes) -> bool:
    return False


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(limit=str(MAX_BODY_BYTES // 2**20))


def _lines(headers: Headers) -> bytes:
    """The headers as they are written, each with its line end. Some values are a client's or a
    provider's words: a line break would begin a new header."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.isascii():
        raw = text.encode()
        if len(raw) - len(raw.translate(None, _CONTROLS)) == 2 * len(lines):  # ours, and no other
            return raw
    return "".join([f"{_plain(line[:-2])}\r\n" for line in lines]).encode()


def _plain(value: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value)
