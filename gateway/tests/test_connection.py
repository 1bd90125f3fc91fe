"""What a provider may send, and how a connection to it is used again, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway import arrival, deadlines
from gateway import upstream as module
from gateway.arrival import BUFFER_BYTES, Answer, ConnectionTrouble, Garbled, HungUp
from gateway.kept import Place
from gateway.tests.certificates import make_certificate
from gateway.upstream import NotConnected, NotSecure, Upstream, upstream, whole
from providers.http import UnreadableAnswer

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
Run = Callable[[Coroutine[Any, Any, None]], None]
Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(scenario, 20))

    return run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.001)


class Provider:
    """Answers each request with the next of `answers`, bytes or what is to be done; `ends` says
    that it closes the connection after the last."""

    def __init__(self, *answers: bytes | Act, ends: bool = False) -> None:
        self._answers, self._ends = list(answers), ends
        self.heads: list[bytes] = []
        self._serving: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while self._answers:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self._answer(self._answers.pop(0), reader, writer)
            if not self._ends:
                await reader.read()
        writer.close() if self._ends else writer.transport.abort()
        self._serving.discard(task)

    async def _answer(
        self, answer: bytes | Act, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(answer, bytes):
            await reader.readexactly(2)
            writer.write(answer)
            await writer.drain()
        else:
            await answer(reader, writer)


def _tls(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's for `localhost`, and that of a client who trusts it."""
    certificate, key = make_certificate(directory, "localhost")
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificate, key)
    return theirs, ssl.create_default_context(cafile=str(certificate))


async def ask(http: Upstream, url: str, seconds: float = 10, body: bytes = b"{}") -> bytes:
    answer = await http.post(url, body=body, headers={}, seconds=seconds, trusted=True)
    try:
        return await whole(answer)
    finally:
        answer.close()


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n"


@pytest.mark.parametrize(
    ("answer", "stays"),
    [
        (HELLO, True),
        (CHUNKED + b"\r\n", True),
        (CHUNKED + b"X-Sum: 1\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + HELLO, True),
        (OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
        (OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n", False),
        (OK + b"Content-Length: 5\r\n\r\nhello!", False),
        (HELLO + OK + b"Content-Length: 6\r\n\r\nforged", False),
        (CHUNKED + b"\r\n" + OK + b"Content-Length: 6\r\n\r\nforged", False),
    ],
)
def test_an_answer_comes_whole_and_its_connection_is_kept_where_it_may_be(
    run: Run, answer: bytes, stays: bool
) -> None:
    async def scenario() -> None:
        async with Provider(answer, HELLO) as provider, upstream() as http:
            assert [await ask(http, provider.url) for _ in range(2)] == [b"hello", b"hello"]
            assert provider.connections == (1 if stays else 2)

    run(scenario())


def test_an_answer_may_end_with_its_connection(run: Run) -> None:
    async def scenario() -> None:
        async with Provider(OK + b"\r\nhello", ends=True) as provider, upstream() as http:
            assert await ask(http, provider.url) == b"hello"

    run(scenario())


def test_an_answer_without_a_body_has_none(run: Run) -> None:
    async def scenario() -> None:
        empty = b"HTTP/1.1 204 No Content\r\n\r\n"
        async with Provider(empty, HELLO) as provider, upstream() as http:
            assert [await ask(http, provider.url) for _ in range(2)] == [b"", b"hello"]
            assert provider.connections == 1

    run(scenario())


def test_byte_by_byte_is_the_same(run: Run) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        for at in range(len(CHUNKED) + 2):
            writer.write((CHUNKED + b"\r\n")[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with Provider(trickle, HELLO) as provider, upstream() as http:
            assert [await ask(http, provider.url) for _ in range(2)] == [b"hello", b"hello"]
            assert provider.connections == 1

    run(scenario())


def test_headers_are_found_by_small_letters_and_those_of_one_name_are_joined(run: Run) -> None:
    async def scenario() -> None:
        head = OK + b"X-Request-ID: r1\r\nServer-Timing: a\r\nserver-timing: b\r\n"
        async with Provider(head + b"Content-Length: 0\r\n\r\n") as provider, upstream() as http:
            answer = await http.post(provider.url, body=b"{}", headers={}, seconds=5, trusted=True)
            assert answer.headers[b"x-request-id"] == b"r1"
            assert answer.headers[b"server-timing"] == b"a, b"

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\nhello" + HELLO,
        OK + b"a:\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
    ],
)
def test_what_is_no_answer_is_told_from_one(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with Provider(answer) as provider, upstream() as http:
            with pytest.raises(Garbled):
                await ask(http, provider.url)

    run(scenario())


@pytest.mark.parametrize(
    "answer", [OK + b"Content-Length: 9\r\n\r\nhello", CHUNKED[:-3], CHUNKED[:-12]]
)
def test_an_answer_that_stops_in_the_middle_is_none(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with Provider(answer, ends=True) as provider, upstream() as http:
            with pytest.raises(Garbled):
                await ask(http, provider.url)

    run(scenario())


def test_what_had_come_before_it_stopped_is_there(run: Run) -> None:
    async def scenario() -> None:
        async with Provider(CHUNKED[:-12], ends=True) as provider, upstream() as http:
            answer = await http.post(provider.url, body=b"{}", headers={}, seconds=5, trusted=True)
            await asyncio.sleep(0.05)
            assert (await answer.read()).startswith(b"he")
            with pytest.raises(Garbled):
                while await answer.read():
                    pass

    run(scenario())


async def asked(http: Upstream, provider: Provider, seconds: float = 5) -> Answer:
    return await http.post(provider.url, body=b"{}", headers={}, seconds=seconds, trusted=True)


def into(came: list[bytes], more: bool = True) -> Callable[[bytes], bool]:
    def sink(piece: bytes) -> bool:
        came.append(piece)
        return more

    return sink


def slowly(*pieces: bytes, seconds: float = 0.02) -> Act:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(seconds)

    return act


def test_what_comes_is_poured_as_it_comes_and_to_the_end(run: Run) -> None:
    came: list[bytes] = []
    pieces = CHUNKED[:-12], CHUNKED[-12:-5], CHUNKED[-5:] + b"\r\n"

    async def scenario() -> None:
        async with Provider(slowly(*pieces), HELLO) as provider, upstream() as http:
            answer = await asked(http, provider)
            await answer.pour(into(came))
            assert b"".join(came) == b"hello" and len(came) > 1
            assert answer.has_ended and not answer.has_more
            await answer.pour(into(came))  # nothing, and at once
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 1

    run(scenario())


def test_who_has_enough_for_now_is_handed_no_more(run: Run) -> None:
    came: list[bytes] = []

    async def scenario() -> None:
        head, *pieces = OK + b"Content-Length: 9\r\n\r\n", b"one", b"two", b"six"
        async with Provider(slowly(head, *pieces)) as provider, upstream() as http:
            answer = await asked(http, provider)
            for piece in pieces:
                await answer.pour(into(came, more=False))
                assert came[-1] == piece
                await asyncio.sleep(0.03)
            assert answer.has_ended

    run(scenario())


def test_much_at_once_is_poured_in_parts_and_in_order(run: Run) -> None:
    came: list[bytes] = []
    body = b"".join(b"%06x" % number for number in range(2**18))  # 1.5 MB, no two parts alike
    chunks = [body[at : at + 2**14] for at in range(0, len(body), 2**14)]
    raw = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)

    def sink(piece: bytes) -> bool:
        came.append(piece)
        return len(came) % 3 > 0

    async def scenario() -> None:
        head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        async with Provider(head + raw + b"0\r\n\r\n", HELLO) as provider, upstream() as http:
            answer = await asked(http, provider)
            while answer.has_more or not answer.has_ended:
                await answer.pour(sink)
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 1

    run(scenario())
    assert b"".join(came) == body
    assert max(map(len, came)) < BUFFER_BYTES + 2**14


def test_what_goes_wrong_in_taking_is_told_to_who_pours(run: Run) -> None:
    def sink(piece: bytes) -> bool:
        raise KeyError(piece)

    async def scenario() -> None:
        slow = slowly(OK + b"\r\n", b"one", seconds=0.05)
        async with Provider(slow, HELLO) as provider, upstream() as http:
            answer = await asked(http, provider)
            with pytest.raises(KeyError):
                await answer.pour(sink)
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 2

    run(scenario())


def test_what_was_taken_last_is_not_forgotten_over_what_went_wrong_then(run: Run) -> None:
    """Who has enough may have to wait for a client before the trouble is told."""
    came: list[bytes] = []

    async def scenario() -> None:
        head, broken = OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\nno length\r\n"
        async with Provider(slowly(head, broken)) as provider, upstream() as http:
            answer = await asked(http, provider)
            await answer.pour(into(came, more=False))
            assert came == [b"hello"]
            with pytest.raises(Garbled):
                await answer.pour(into(came))

    run(scenario())


def test_each_piece_that_is_poured_has_all_of_the_time(run: Run) -> None:
    came: list[bytes] = []

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await slowly(OK + b"\r\n", *[b"x"] * 15, seconds=0.04)(reader, writer)
        await asyncio.sleep(30)

    async def scenario() -> None:
        async with Provider(endless) as provider, upstream() as http:
            answer = await asked(http, provider, 0.3)  # of 0.6 s
            with pytest.raises(TimeoutError):
                await answer.pour(into(came))

    run(scenario())
    assert b"".join(came) == b"x" * 15


def test_what_had_come_before_it_stopped_is_poured(run: Run) -> None:
    came: list[bytes] = []

    async def scenario() -> None:
        slow = slowly(CHUNKED[:-12], CHUNKED[-12:-5])
        async with Provider(slow, ends=True) as provider, upstream() as http:
            answer = await asked(http, provider)
            with pytest.raises(Garbled):
                await answer.pour(into(came))

    run(scenario())
    assert b"".join(came) == b"hello"


def test_more_than_a_stream_may_have_is_not_poured(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "MAX_STREAM_BYTES", 5)

    async def scenario() -> None:
        slow = slowly(OK + b"\r\n", b"hello", b"!")
        async with Provider(slow) as provider, upstream() as http:
            answer = await asked(http, provider)
            with pytest.raises(UnreadableAnswer):
                await answer.pour(lambda piece: True)

    run(scenario())


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (OK + b"X: ", b"x" * 1000),
        (OK, b"X-A: b\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ", b"x" * 1000),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 1000),
    ],
    ids=["a header", "headers", "heads", "a trailer", "a chunk's extension"],
)
def test_what_stands_around_a_body_is_bounded(run: Run, before: bytes, again: bytes) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(before)
        while True:
            writer.write(again)
            sent += len(again)
            await writer.drain()
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with Provider(endless) as provider, upstream() as http:
            with pytest.raises(ConnectionTrouble):
                await ask(http, provider.url)

    run(scenario())
    assert sent < 8 * 2**20  # the system's own buffers hold a few


def test_silence_is_waited_for_so_long_and_no_longer(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 5\r\n\r\nhe")
        await asyncio.sleep(30)

    async def scenario() -> None:
        async with Provider(silent) as provider, upstream() as http:
            with pytest.raises(TimeoutError):
                await ask(http, provider.url, 0.05)

    run(scenario())


def test_each_wait_has_all_of_the_time(run: Run) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(HELLO)):
            writer.write(HELLO[at : at + 1])
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        async with Provider(slow) as provider, upstream() as http:
            assert await ask(http, provider.url, 0.5) == b"hello"  # of 0.86 s

    run(scenario())


def test_no_more_is_read_than_is_taken(run: Run) -> None:
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 2**16)
            await writer.drain()
            written += 2**16

    async def scenario() -> None:
        async with Provider(flood) as provider, upstream() as http:
            answer = await http.post(provider.url, body=b"{}", headers={}, seconds=5, trusted=True)
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.1)
            first = len(await answer.read())
            assert first <= BUFFER_BYTES + 2**18  # the loop reads so much at once
            while written == before:  # it goes on once there is room
                await answer.read()
            answer.close()

    run(scenario())


def test_a_paused_connection_reads_on_for_the_next_call(run: Run) -> None:
    large = b"x" * 3 * BUFFER_BYTES
    first = OK + b"Content-Length: %d\r\n\r\n" % len(large) + large

    async def scenario() -> None:
        async with Provider(first, HELLO) as provider, upstream() as http:
            assert await ask(http, provider.url) == large
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 1

    run(scenario())


def test_an_answer_before_the_request_was_taken_is_passed_on(run: Run) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(refusal)
        await asyncio.sleep(0.5)

    async def scenario() -> None:
        async with Provider(refuse, HELLO) as provider, upstream() as http:
            body = b"x" * 20_000_000
            assert await ask(http, provider.url, body=body) == b"large"
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 2

    run(scenario())


@pytest.mark.parametrize("is_secure", [False, True])
def test_the_rest_of_a_refused_request_is_in_nobodys_way(
    run: Run, is_secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS has a buffer of its own behind the one that can be asked for its size."""
    theirs, ours = _tls(tmp_path)
    monkeypatch.setattr(module, "ssl_context", lambda: ours)
    asked: list[bytes] = []
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if len(asked) == 1:
                writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
                await asyncio.sleep(5)  # takes no more of it
            writer.write(HELLO)
            await writer.drain()
        writer.transport.abort()

    async def scenario() -> None:
        server = await asyncio.start_server(
            serve, "127.0.0.1", 0, ssl=theirs if is_secure else None
        )
        port = server.sockets[0].getsockname()[1]
        url = f"{'https' if is_secure else 'http'}://localhost:{port}/v1"
        async with upstream() as http:
            assert await ask(http, url, body=b"x" * 8_000_000) == b"large"
            assert await ask(http, url, seconds=3) == b"hello"
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)

    run(scenario())
    assert len(asked) == 2


def test_an_answer_that_ends_with_half_the_connection_is_there_at_once(run: Run) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\n\r\nlarge")
        writer.write_eof()
        await asyncio.sleep(30)  # takes nothing of the request

    async def scenario() -> None:
        async with Provider(refuse) as provider, upstream() as http:
            assert await ask(http, provider.url, 3, body=b"x" * 20_000_000) == b"large"

    run(scenario())


def test_bytes_that_nobody_asked_for_end_a_kept_connection(run: Run) -> None:
    async def unasked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(HELLO)
        await asyncio.sleep(0.05)
        writer.write(OK + b"Content-Length: 6\r\n\r\nforged")

    async def scenario() -> None:
        async with Provider(unasked, HELLO) as provider, upstream() as http:
            await ask(http, provider.url)
            await asyncio.sleep(0.1)
            assert await ask(http, provider.url) == b"hello"
            assert provider.connections == 2

    run(scenario())


def test_who_closes_what_has_been_read_leaves_the_next_call_alone(run: Run) -> None:
    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        await asyncio.sleep(0.05)
        writer.write(HELLO)

    async def scenario() -> None:
        async with Provider(HELLO, later) as provider, upstream() as http:
            first = await http.post(provider.url, body=b"{}", headers={}, seconds=5, trusted=True)
            await whole(first)
            second = asyncio.ensure_future(ask(http, provider.url))
            await asyncio.sleep(0.01)
            first.close()
            assert await second == b"hello"
            assert provider.connections == 1

    run(scenario())


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_who_is_cancelled_leaves_no_connection_behind(run: Run, seconds: float) -> None:
    closed = asyncio.Event()

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async def scenario() -> None:
        async with Provider(until_closed) as provider, upstream() as http:
            asking = asyncio.ensure_future(ask(http, provider.url))
            await asyncio.sleep(seconds)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            if seconds:
                await closed.wait()

    run(scenario())


def test_what_nobody_uses_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.kept.IDLE_SECONDS", 0.05)

    async def scenario() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(2)
            writer.write(HELLO)
            await reader.read()
            gone.set()

        async with Provider(serve, HELLO) as provider, upstream() as http:
            await ask(http, provider.url)
            await gone.wait()
            assert not http._kept._kept
            assert await ask(http, provider.url) == b"hello"

    run(scenario())


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-a", "b\r\nx-c: d"), ("x-a", "b\nx"), ("x-a", "b\0"), ("x-a\r\nb", "c"), ("x-a", "ü")],
)
def test_no_header_begins_another(run: Run, name: str, value: str) -> None:
    async def scenario() -> None:
        async with Provider(HELLO) as provider, upstream() as http:
            with pytest.raises(ValueError):
                await http.post(
                    provider.url, body=b"", headers={name: value}, seconds=5, trusted=True
                )
            assert not provider.heads

    run(scenario())


@pytest.mark.parametrize("path", ["/v1 HTTP/1.1", "/ü"])
def test_no_address_ends_the_line_that_it_stands_in(run: Run, path: str) -> None:
    async def scenario() -> None:
        async with Provider(HELLO) as provider, upstream() as http:
            with pytest.raises(ValueError):
                await ask(http, provider.url + path)
            assert not provider.heads

    run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid", f"{'a' * 70}.example"])
def test_where_nobody_is_no_connection_is_made(run: Run, host: str) -> None:
    async def scenario() -> None:
        async with upstream() as http:
            with pytest.raises(NotConnected):
                await ask(http, f"http://{host}/v1")

    run(scenario())


def test_a_name_is_looked_up_once_for_all_who_ask(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    look_up = module._addresses

    async def counted(loop: asyncio.AbstractEventLoop, place: Place) -> Any:
        looked_up.append(place.host)
        return await look_up(loop, place)

    monkeypatch.setattr(module, "_addresses", counted)

    async def scenario() -> None:
        async with Provider(*[HELLO] * 8) as provider, upstream() as http:
            url = provider.url.replace("127.0.0.1", "localhost")
            assert await asyncio.gather(*[ask(http, url) for _ in range(8)]) == [b"hello"] * 8

    run(scenario())
    assert looked_up == ["localhost"]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_certificate_is_asked_for_the_name(
    run: Run, is_trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = _tls(tmp_path)
    if is_trusted:
        monkeypatch.setattr(module, "ssl_context", lambda: ours)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(2):
                await reader.readuntil(b"\r\n\r\n{}")
                writer.write(HELLO)
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=theirs)
        port = server.sockets[0].getsockname()[1]
        async with upstream() as http:
            if is_trusted:
                for _ in range(2):
                    assert await ask(http, f"https://localhost:{port}/v1") == b"hello"
            for host in ("127.0.0.1", *(() if is_trusted else ("localhost",))):
                with pytest.raises(NotSecure):  # the certificate is for the name alone
                    await ask(http, f"https://{host}:{port}/v1")
        server.close()

    run(scenario())


def test_a_reset_tells_that_nothing_was_answered(run: Run) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def scenario() -> None:
        async with Provider(reset) as provider, upstream() as http:
            with pytest.raises(HungUp) as caught:
                await ask(http, provider.url)
            assert caught.value.unanswered and provider.connections == 1

    run(scenario())
