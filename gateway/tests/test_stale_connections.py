"""A provider may close a connection that was kept, just when a call is sent on it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from byom.tests.databases import Database
from gateway import upstream as module
from gateway.arrival import ConnectionTrouble, HungUp
from gateway.tests.own_servers import program, server, worked
from gateway.tests.under_load import QUESTION
from gateway.upstream import Upstream, upstream, whole
from usage import leases

ANSWER = json.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = b'{"model": "gpt-4o-mini"}'
# What to do with a request; the connection is closed where it says False.
Act = Callable[[asyncio.StreamWriter], Awaitable[bool]]


async def answer(writer: asyncio.StreamWriter) -> bool:
    writer.write(HEAD % len(ANSWER) + ANSWER)
    await writer.drain()
    return True


async def answer_and_close(writer: asyncio.StreamWriter) -> bool:
    await answer(writer)
    return False


async def close(writer: asyncio.StreamWriter) -> bool:
    return False


async def reset(writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return False


async def begin_and_close(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    return False


async def close_late(writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(0.2)
    return False


async def request(reader: asyncio.StreamReader) -> bytes:
    """The body of the next one."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    assert length
    return await reader.readexactly(int(length[1]))


class Provider:
    """Does with the first request on its first connection what `acts[0][0]` says, and so on; a
    connection that it has no act for it closes unread."""

    def __init__(self, *acts: Sequence[Act]) -> None:
        self.acts = acts
        self.requests: list[tuple[int, bytes]] = []  # connection, body
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        with suppress(asyncio.IncompleteReadError):  # the client has closed it
            for act in self.acts[number] if number < len(self.acts) else ():
                self.requests.append((number, await request(reader)))
                if not await act(writer):
                    break
        writer.close()
        self.closed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        serving = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with serving:
            yield f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(module, "_STALE_SECONDS", 60.0)


async def ask(http: Upstream, url: str) -> bytes:
    response = await http.post(url, body=BODY, headers={}, seconds=5, trusted=True)
    try:
        return await whole(response)
    finally:
        response.close()


@pytest.mark.parametrize("ending", [close, reset])
async def test_a_call_on_a_connection_that_was_closed_just_then_goes_out_on_a_new_one(
    ending: Act,
) -> None:
    provider = Provider([answer, ending], [answer])
    async with provider.running() as url, upstream() as http:
        assert [await ask(http, url), await ask(http, url)] == [ANSWER, ANSWER]

    assert provider.requests == [(0, BODY), (0, BODY), (1, BODY)]


async def test_when_all_that_were_kept_are_stale_one_new_connection_is_enough() -> None:
    both = asyncio.Barrier(2)

    async def answer_both(writer: asyncio.StreamWriter) -> bool:
        await both.wait()  # so that they need two connections
        return await answer(writer)

    provider = Provider([answer_both, close], [answer_both, close], [answer])
    async with provider.running() as url, upstream() as http:
        await asyncio.gather(ask(http, url), ask(http, url))
        assert await ask(http, url) == ANSWER

    assert len(provider.requests) == 4 and provider.requests[-1] == (2, BODY)


async def test_a_connection_that_was_closed_while_it_was_idle_is_not_used() -> None:
    provider = Provider([answer_and_close], [answer])
    async with provider.running() as url, upstream() as http:
        await ask(http, url)
        await provider.closed.wait()
        await asyncio.sleep(0.01)  # until the news has come over the wire
        assert await ask(http, url) == ANSWER

    assert provider.requests == [(0, BODY), (1, BODY)]


@pytest.mark.parametrize("ending", [close, reset])
async def test_a_provider_that_closes_a_new_connection_is_not_asked_again(ending: Act) -> None:
    provider = Provider([ending], [answer])
    async with provider.running() as url, upstream() as http:
        with pytest.raises(HungUp):
            await ask(http, url)

    assert provider.requests == [(0, BODY)]


async def test_a_call_is_sent_again_only_once() -> None:
    provider = Provider([answer, close], [close], [answer])
    async with provider.running() as url, upstream() as http:
        await ask(http, url)
        with pytest.raises(HungUp):
            await ask(http, url)

    assert [number for number, _ in provider.requests] == [0, 0, 1]


@pytest.mark.parametrize("ending", [begin_and_close, close_late])
async def test_where_an_answer_has_begun_or_been_thought_about_the_call_is_not_sent_again(
    ending: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STALE_SECONDS", 0.1)
    provider = Provider([answer, ending], [answer])
    async with provider.running() as url, upstream() as http:
        await ask(http, url)
        with pytest.raises(ConnectionTrouble):
            await ask(http, url)

    assert provider.requests == [(0, BODY), (0, BODY)]


@pytest.mark.integration
@pytest.mark.slow
async def test_the_first_call_after_an_idle_time_is_answered_and_has_its_row(
    database: Database, tmp_path: Path
) -> None:
    """The thread that writes the ledger has ended by then, the room that was held in budgets is
    given back, and the provider closes the connection that was kept."""
    token, log = worked(database, "seed", "1000")["token"], tmp_path / "received.log"
    provider = Provider([answer, close], [answer])
    async with provider.running() as url:
        with server(database, url) as (ours, _):
            async with program(ours, token) as http:
                first = await http.post("/v1/chat/completions", json=QUESTION)
                await asyncio.sleep(2 * leases.IDLE_SECONDS + 1)
                second = await http.post("/v1/chat/completions", json=QUESTION)
    log.write_text("\n".join(each.headers["x-byom-call-id"] for each in (first, second)))
    found = worked(database, "verify", str(log))

    assert (first.status_code, second.status_code) == (200, 200)
    assert [number for number, _ in provider.requests] == [0, 0, 1]
    assert (found["received"], found["without_row"], found["rows"]) == (2, 0, 2)
    assert found["spent_as_the_ledger"] and found["reserved"] == 0
