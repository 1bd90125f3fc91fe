"""Bytes that no client of good will sends, on real sockets to a real uvicorn worker.

Whatever comes: no 500, no hang, nothing reaches a provider, and the server goes on.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from benchmarks.simulator.server import SimulatorThread
from byom.asgi import Receive, Scope, Send
from byom.bounded_http import BoundedHttp
from byom.tests.live_server import serve
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import Place
from gateway.tests.test_gateway import BODY, QUICK

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

PATIENCE = 5.0
KEEP_ALIVE = 5.0  # uvicorn's, in seconds
ASKED = json.dumps(BODY).encode()
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"


class Line:
    """A connection to the server, and what comes back on it."""

    def __init__(self, place: Place) -> None:
        self.token = place.token.encode()
        where = urlsplit(place.url)
        self.socket = socket.create_connection((where.hostname, where.port), timeout=PATIENCE)

    def head(self, *lines: bytes) -> bytes:
        quick = [f"{name}: {value}".encode() for name, value in QUICK.items()]
        usual = [b"Host: byom", b"Authorization: Bearer " + self.token, *quick, *lines]
        return CHAT + b"\r\n".join(usual) + b"\r\n\r\n"

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        """The server may have hung up before the end: that is an answer too."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answers(self) -> bytes:
        """All until the server hangs up, or is silent after an answer. Fails where none comes."""
        got = b""
        while True:
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                assert got, "the server said nothing and did not hang up"
                return got
            except ConnectionResetError:
                return got
            if not piece:
                return got
            got += piece
            self.socket.settimeout(0.5)


@pytest.fixture
def line(simulator: SimulatorThread, place: Place, alice: User) -> Iterator[Line]:
    CredentialFactory.create(owner=alice)
    made = Line(place)
    yield made
    made.socket.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.exchange.IDLE_SECONDS", 0.3)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_a_request_that_comes_byte_by_byte_is_served(line: Line) -> None:
    whole = line.head(b"Content-Length: %d" % len(ASKED)) + ASKED
    line.send(*(whole[n : n + 1] for n in range(len(whole))))
    assert status(line.answers()) == 200


def test_a_chunked_body_is_served(line: Line) -> None:
    chunks = (
        b"%x\r\n%s\r\n" % (len(ASKED[n : n + 7]), ASKED[n : n + 7]) for n in range(0, len(ASKED), 7)
    )
    line.send(line.head(b"Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n")
    assert status(line.answers()) == 200


@pytest.mark.parametrize(
    "lengths",
    [[b"-1"], [b"abc"], [b"1, 2"], [b"5", b"6"], [b"9" * 40], [b"+5"], [b"0x10"], [b""]],
    ids=repr,
)
def test_a_length_that_is_none_reaches_nobody(
    line: Line, simulator: SimulatorThread, lengths: list[bytes]
) -> None:
    line.send(line.head(*(b"Content-Length: " + length for length in lengths)), ASKED)
    assert status(line.answers()) in (0, 400, 413)
    assert not simulator.app.log


@pytest.mark.parametrize(
    "heads",
    [
        [b"Content-Length: 4", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 4"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer-Encoding: identity, chunked", b"Content-Length: 4"],
        [b"X: y\nContent-Length: 4"],
        [b"X: y", b" folded", b"Content-Length: 4", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 4", b" 5"],
        [b"Content-Length: 4\nTransfer-Encoding: chunked"],
    ],
    ids=repr,
)
def test_no_second_request_is_smuggled_in_the_body_of_a_first(
    line: Line, simulator: SimulatorThread, heads: list[bytes]
) -> None:
    inner = line.head(b"Content-Length: %d" % len(ASKED)) + ASKED
    line.send(line.head(*heads), b"0\r\n\r\n" + inner)
    answer = line.answers()
    assert not simulator.app.log and b" 500 " not in answer
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nx\r\n",
        b"-1\r\n",
        b"5\r\nab",
        b"ffffffffffffffffff\r\n",
        b"1;" + b"x" * 9000 + b"\r\na",
    ],
    ids=["no number", "negative", "cut off", "huge", "long extension"],
)
def test_chunks_that_are_none_reach_nobody(
    line: Line, simulator: SimulatorThread, body: bytes, impatient: None
) -> None:
    line.send(line.head(b"Transfer-Encoding: chunked"), body)
    assert status(line.answers()) in (0, 400, 408, 413)
    assert not simulator.app.log


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_the_limit(
    line: Line, simulator: SimulatorThread, impatient: None
) -> None:
    line.send(line.head(b"Content-Length: 1000"), b"{")
    answer = line.answers()
    assert status(answer) == 408 and b"request_timeout" in answer
    assert not simulator.app.log


@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"])
@pytest.mark.parametrize("where", ["content", "role", "other"])
def test_half_a_character_is_no_mistake_of_ours(
    line: Line, alice: User, model: str, where: str
) -> None:
    for provider in ("anthropic", "google"):
        CredentialFactory.create(owner=alice, provider=provider)
    said = {"role": "user", "content": "Hello", where: "\ud800"}
    body = json.dumps({"model": model, "messages": [said]}).encode()
    line.send(line.head(b"Content-Length: %d" % len(body)) + body)
    answer = line.answers()
    assert status(answer) in (200, 400), answer
    assert model == "gpt-4o-mini" or b"half of a character" in answer


def test_a_compressed_body_is_not_unpacked(line: Line, simulator: SimulatorThread) -> None:
    bomb = gzip.compress(b" " * 50_000_000 + ASKED)
    line.send(line.head(b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb)), bomb)
    answer = line.answers()
    assert status(answer) == 400 and b"its body is compressed: send it as it is" in answer
    assert not simulator.app.log


@pytest.mark.parametrize("kind", ["one long", "many"])
def test_headers_without_end_are_cut_off(line: Line, kind: str) -> None:
    piece = b"x" * 65536 if kind == "one long" else b"X-A: b\r\n" * 8192
    began = time.monotonic()
    line.send(CHAT + b"X-Long: ", *[piece] * 64)
    assert status(line.answers()) in (0, 400, 431)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("begun", [b"2\r\n{}\r\n0\r\nX-Sum: ", b"2;x="], ids=["trailer", "chunk"])
def test_what_stands_around_a_body_without_end_is_cut_off(
    line: Line, simulator: SimulatorThread, begun: bytes, token: bool
) -> None:
    """No application hears of it: it would be kept whole, whoever sends it."""
    head = line.head(b"Transfer-Encoding: chunked")
    line.send(head if token else head.replace(line.token, b"none"), begun)
    time.sleep(0.1)  # so that who is refused has been
    sent = 0
    with suppress(BrokenPipeError, ConnectionResetError):
        while sent < 32 * 2**20:
            line.socket.sendall(b"x" * 65536)
            sent += 65536
    assert sent < 16 * 2**20  # what the system's own buffers take
    assert not simulator.app.log


def test_trailers_of_a_usual_size_are_none_of_our_business(line: Line) -> None:
    body = b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(ASKED), ASKED)
    for _ in range(2):  # on one connection
        line.send(
            line.head(b"Transfer-Encoding: chunked"),
            *[body[: at + 1][at:] for at in range(len(body))],
        )
        line.socket.settimeout(PATIENCE)
        assert status(line.answers()) == 200


def test_a_body_that_trickles_is_not_waited_for_for_ever(
    line: Line, simulator: SimulatorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.BODY_SECONDS", 0.3)
    line.send(line.head(b"Content-Length: 1000"), *[b"{"] * 20, pause=0.03)
    assert status(line.answers()) == 408


@pytest.mark.parametrize("rest", [b"\r\n", b"x"], ids=["an empty line", "more of a body"])
def test_what_begins_no_request_does_not_keep_a_connection(
    server: str, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    """uvicorn takes it for the next request, and waits for that for ever."""
    line = Line(Place(server, "byom_none"))
    line.send(line.head(b"Content-Length: 9" if rest == b"x" else b"Content-Length: 0"))
    assert b" 401 " in line.socket.recv(65536)
    began = time.monotonic()
    line.send(*[rest] * 4, pause=0.5)
    line.socket.settimeout(2 * KEEP_ALIVE)
    with suppress(ConnectionResetError):
        assert line.socket.recv(100) == b""
    assert time.monotonic() - began < 2 * KEEP_ALIVE
    line.socket.close()


def test_a_head_that_does_not_come_is_not_waited_for_for_ever(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byom.bounded_http.HEAD_SECONDS", 0.2)
    for begun in (b"", CHAT):
        line = Line(Place(server, ""))
        line.send(begun)
        assert line.socket.recv(100) == b""
        line.socket.close()


@given(st.binary(max_size=300), st.lists(st.binary(max_size=40), max_size=5))
@hypothesis_settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_no_bytes_at_all_are_a_500(
    simulator: SimulatorThread, place: Place, body: bytes, heads: list[bytes]
) -> None:
    line = Line(place)
    line.socket.settimeout(0.3)
    line.send(line.head(b"Content-Length: %d" % len(body), *heads), body)
    with suppress(OSError):  # it has hung up already
        line.socket.shutdown(socket.SHUT_WR)
    answer = line.answers()
    line.socket.close()
    assert b"HTTP/1.1 5" not in answer
    assert not simulator.app.log


@pytest.mark.parametrize("pieces", [1, 100], ids=["written", "being written"])
def test_a_client_that_takes_nothing_of_its_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    monkeypatch.setattr("byom.bounded_http.STALLED_SECONDS", 0.2)
    ended, hung_up, lost = threading.Event(), threading.Event(), BoundedHttp.connection_lost

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for left in reversed(range(pieces)):
                piece = b"x" * 16 * 2**20
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            ended.set()

    def noting(self: BoundedHttp, exc: Exception | None) -> None:
        lost(self, exc)
        hung_up.set()

    monkeypatch.setattr(BoundedHttp, "connection_lost", noting)
    with serve(app) as url:
        line = Line(Place(url, ""))
        line.send(b"GET / HTTP/1.1\r\nHost: byom\r\n\r\n")
        assert hung_up.wait(PATIENCE) and ended.wait(PATIENCE)
        line.socket.close()
