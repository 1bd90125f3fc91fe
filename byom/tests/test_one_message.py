"""Answers by `byom.one_message`, on real sockets: to the byte what uvicorn writes by itself."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from byom.asgi import Receive, Scope, Send
from byom.tests.live_server import serve

PATIENCE = 10.0
HEADERS = [(b"content-type", b"text/plain"), (b"x-empty", b""), (b"x-own", b"a: b")]
CLOSE = b"Connection: close"
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def request(method: bytes = b"GET", *lines: bytes, version: bytes = b"1.1") -> bytes:
    head = [b"%b /a%%20b?c=d HTTP/%b" % (method, version), b"Host: byom", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n"


def connect(url: str, sent: bytes = b"") -> socket.socket:
    where = urlsplit(url)
    made = socket.create_connection((where.hostname, where.port), timeout=PATIENCE)
    made.sendall(sent)
    return made


def read(connection: socket.socket) -> bytes:
    """All until the server hangs up, the dates taken out."""
    with connection:
        got = b"".join(iter(lambda: connection.recv(2**20), b""))
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"date: now\r\n", got)


def never(data: bytes) -> bool:
    return False


async def respond(
    send: Send,
    status: int = 200,
    pieces: tuple[bytes, ...] = (b"Hello",),
    *,
    one: bool = True,
    write: Callable[[bytes], bool] = never,
) -> None:
    """More than one piece go out in chunks, those between first and last by `write` if it can."""
    first, *rest = pieces
    more = bool(rest)
    headers = [*HEADERS] if more else [*HEADERS, (b"content-length", b"%d" % len(first))]
    start: dict[str, Any] = {"status": status}
    body = {"body": first, "more_body": more}
    if one:
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        await send({"type": "byom.response", "lines": lines, **start, **body})
    else:
        await send({"type": "http.response.start", "headers": headers, **start})
        await send({"type": "http.response.body", **body})
    for left, piece in reversed(list(enumerate(reversed(rest)))):
        if not (left and write(piece)):
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


ANSWERS: list[tuple[int, tuple[bytes, ...]]] = [
    (200, (b"Hello",)),
    (404, (b"",)),
    (204, (b"",)),
    (304, (b"",)),
    (200, (b"", b"Hello ", b"", b"you", b"")),
    (599, (b"Hello ", b"you")),
]
ASKED = {
    "close": request(b"GET", CLOSE),
    "head": request(b"HEAD", CLOSE),
    "1.0": request(b"GET", version=b"1.0"),
    "1.0 keep-alive": request(b"GET", b"Connection: keep-alive", version=b"1.0"),
    "pipelined": request() + request(b"HEAD") + request(b"POST", CLOSE, b"Content-Length: 0"),
    "continue": request(b"POST", CLOSE, b"Expect: 100-continue", b"Content-Length: 2") + b"{}",
}


def http_only(app: App) -> App:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    return wrapped


@pytest.fixture(
    scope="module",
    params=[[], [("X-Usual", "1"), ("Server", "byom")], [("Connection", "Close")]],
    ids=["", "own", "closing"],
)
def both_ways(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with headers of its own that gives ANSWERS: /one/0, /two/0, /write/0, and so on."""

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        write = scope["extensions"]["byom.response"]["write"]
        _, way, number = scope["path"].split("/")
        await receive()
        assert not write(b"before it has begun")
        pieces = write if way == "write" else never
        await respond(send, *ANSWERS[int(number)], one=way != "two", write=pieces)
        assert not write(b"after its end")

    with serve(app, headers=request.param) as url:
        yield url


@pytest.mark.parametrize("number", range(len(ANSWERS)), ids=lambda number: repr(ANSWERS[number]))
@pytest.mark.parametrize("asked", ASKED, ids=list(ASKED))
def test_what_is_written_is_what_uvicorn_would_write(
    both_ways: str, asked: str, number: int
) -> None:
    usual, *others = (
        read(connect(both_ways, ASKED[asked].replace(b"/a%20b", b"/%b/%d" % (way, number))))
        for way in (b"two", b"one", b"write")
    )
    assert others == [usual, usual] and b"x-own: a: b\r\n" in usual


def test_a_connection_serves_one_request_after_another() -> None:
    with serve(http_only(lambda scope, receive, send: respond(send))) as url:
        connection = connect(url)
        for _ in range(3):
            connection.sendall(request())
            answer = b""
            while not answer.endswith(b"\r\n\r\nHello"):
                answer += connection.recv(65536)
            assert answer.count(b"HTTP/1.1 200 OK") == 1 and b"connection:" not in answer
        connection.sendall(request(b"GET", CLOSE))
        assert b"connection: close\r\n" in read(connection)


def test_a_server_that_stops_hangs_up_after_the_answer() -> None:
    begun = threading.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Any) -> None:
        begun.set()
        while send.__self__.keep_alive:  # until the server has told all that is under way
            await asyncio.sleep(0.01)
        await respond(send)

    with serve(app) as url:
        connection = connect(url, request())
        assert begun.wait(PATIENCE)
    answer = read(connection)
    assert b"connection: close\r\n" in answer and answer.endswith(b"Hello")


def test_a_client_that_has_left_is_written_nothing() -> None:
    ended = threading.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            while (await receive())["type"] != "http.disconnect":
                pass
        await respond(send)
        ended.set()

    with serve(app) as url:
        connect(url, request(b"POST")).close()
        assert ended.wait(PATIENCE)
        assert read(connect(url, request(b"GET", CLOSE))).endswith(b"Hello")


def test_no_answer_is_written_before_the_client_takes_the_one_before() -> None:
    large, begun, ended = b"x" * 64 * 2**20, threading.Semaphore(0), threading.Semaphore(0)

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.release()
        await respond(send, 200, (large,))
        ended.release()

    with serve(app) as url:
        connection = connect(url, request() + request(b"GET", CLOSE))
        assert begun.acquire(timeout=PATIENCE) and begun.acquire(timeout=PATIENCE)
        assert ended.acquire(timeout=PATIENCE) and not ended.acquire(timeout=0.1)
        assert read(connection).count(b"x") >= 2 * len(large)
        assert ended.acquire(timeout=PATIENCE)


def test_no_more_is_written_at_once_than_the_client_takes() -> None:
    piece, most = b"x" * 2**20, 64
    ended = threading.Event()

    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        write, at_once = scope["extensions"]["byom.response"]["write"], 0
        await send(
            {"type": "byom.response", "status": 200, "lines": b"", "body": b"", "more_body": True}
        )
        for _ in range(most):
            if write(piece):
                at_once += 1
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"%d" % at_once})
        ended.set()

    with serve(app) as url:
        connection = connect(url, request(b"GET", CLOSE))
        assert not ended.wait(0.2)
        answer = read(connection)
    assert answer.count(b"x") == most * len(piece)
    assert 0 < int(answer.rsplit(b"\r\n", 4)[-4]) < most


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("raises", "ValueError"),
        ("twice", "the response has begun"),
        ("more", "response already completed"),
    ],
)
def test_a_mistake_after_the_answer_ends_the_connection(
    mistake: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    @http_only
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)
        if mistake == "twice":
            await respond(send)
        elif mistake == "more":
            await send({"type": "http.response.body", "body": b"more"})
        raise ValueError

    with serve(app) as url:
        answer = read(connect(url, request()))
    assert answer.count(b"HTTP/1.1") == 1 and answer.endswith(b"\r\n\r\nHello")
    assert "Exception in ASGI application" in caplog.text and told in caplog.text


def test_the_access_log_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.access")
    with serve(http_only(lambda scope, receive, send: respond(send, 404)), access_log=True) as url:
        connection = connect(url, request(b"GET", CLOSE))
        host, port = connection.getsockname()
        read(connection)
    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert lines == [f'{host}:{port} - "GET /a%20b?c=d HTTP/1.1" 404']
