"""The parts of `bench_streams`; the command itself takes a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from byom import serve
from gateway.speed import streams, upstream
from gateway.speed.load import Target
from gateway.speed.streams import Broken, hold, read_slowly, watched


@pytest.fixture
async def target(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Target]:
    """The upstream itself, whose pieces come faster than they do for the benchmark."""
    for module in (streams, upstream):
        monkeypatch.setattr(module, "PIECE_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(upstream.Canned, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield Target("direct", f"http://{host}:{port}/v1", "key")


async def test_streams_are_held_open_at_once_and_read_to_their_end(target: Target) -> None:
    held = await hold(target, streams=5, seconds=1)

    assert (held.at_once, held.whole, held.broken) == (5, 5, [])
    assert len(held.lags) == 50 and max(held.lags) < 1


async def test_a_stream_that_lacks_a_piece_is_broken(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PIECE_SECONDS", 0.05)  # so many are expected
    held = await hold(target, streams=1, seconds=1)

    assert (held.whole, held.broken) == (0, ["ended after 11 of 21 pieces"])


async def test_a_slow_reader_holds_the_upstream_up(target: Target) -> None:
    slow = await read_slowly(target, target, readers=2, seconds=0.5)

    assert 0 < slow.written_mb < slow.asked_mb / 4


async def test_a_slow_reader_that_is_hung_up_on_is_told(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream.Canned, "data_received", lambda self, _: self._transport.close())

    with pytest.raises(Broken):
        await streams._read_slowly(target, b"GET / HTTP/1.1\r\n\r\n", 0.5)


async def test_a_process_that_is_not_there_takes_nothing() -> None:
    async with watched(0) as taken:
        await asyncio.sleep(0)
    assert (taken.resident_mb, taken.files, taken.cpu_seconds) == (0, 0, 0)


def test_too_few_open_files_are_told_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.management.commands.bench_streams.allow_open_files", lambda _: 100)

    with pytest.raises(CommandError, match=r"4,200 open files .* allows 100\. Raise the hard"):
        call_command("bench_streams")


def test_the_server_takes_as_many_open_files_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    limits = [(256, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))

    assert serve.allow_open_files() == 4096
    assert limits[-1] == (4096, 4096)
    assert serve.allow_open_files(1000) == 4096, "it is never lowered"
