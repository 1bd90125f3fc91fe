from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from providers import http as shared
from providers.errors import BadAnswer
from providers.http import MAX_BODY_BYTES, UnreadableAnswer, http_client
from providers.registry import make_client
from providers.tests.wire import ask

Served = tuple[str, list[str]]


@asynccontextmanager
async def server(
    head: str, body: bytes = b"", repeat: int = 1
) -> AsyncIterator[tuple[str, list[str]]]:
    """Answers every request with the same bytes; yields its URL and the requests' heads."""
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode())
        try:
            for _ in range(repeat):
                writer.write(body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}", heads
    finally:
        listener.close()
        await listener.wait_closed()


async def test_scopes_on_one_loop_share_one_client() -> None:
    async with http_client() as outer, http_client() as inner:
        assert outer is inner


async def test_the_last_scope_closes_the_client() -> None:
    async with http_client() as client:
        async with http_client():
            pass
        assert not client.is_closed
    assert client.is_closed
    async with http_client() as another:
        assert another is not client


async def test_scopes_may_overlap_without_nesting() -> None:
    first, second = http_client(), http_client()
    client = await first.__aenter__()
    await second.__aenter__()
    await first.__aexit__(None, None, None)
    assert not client.is_closed
    await second.__aexit__(None, None, None)
    assert client.is_closed


def test_loops_in_threads_have_clients_of_their_own_and_leave_nothing() -> None:
    clients: list[httpx2.AsyncClient] = []

    async def use() -> None:
        async with server("204 No Content") as (url, _), http_client() as client:
            clients.append(client)
            assert (await client.get(url)).status_code == 204

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, clients))) == 8
    assert all(client.is_closed for client in clients)
    assert len(shared._clients._shared) == 0


async def test_cookies_are_neither_kept_nor_sent() -> None:
    async with (
        server("200 OK\r\nSet-Cookie: session=alice; Path=/") as (url, heads),
        http_client() as client,
    ):
        await client.get(url)
        await client.get(url)
        assert len(client.cookies.jar) == 0
    assert len(heads) == 2
    assert not any("cookie" in head.lower() for head in heads)


async def test_redirects_are_not_followed() -> None:
    async with (
        server("302 Found\r\nLocation: http://127.0.0.1:1/") as (url, _),
        http_client() as client,
    ):
        assert (await client.get(url)).status_code == 302


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with server("204 No Content") as (url, _), http_client() as client:
        assert (await client.get(url)).status_code == 204


async def test_an_answer_compressed_unasked_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    async with (
        server("200 OK\r\nContent-Encoding: gzip", bomb) as (url, heads),
        http_client() as client,
    ):
        with pytest.raises(UnreadableAnswer, match="compressed"):
            await client.get(url)
    assert "accept-encoding: identity" in heads[0].lower()


async def test_an_answer_without_end_is_cut_off() -> None:
    chunk = b"x" * 2**20
    async with (
        server("200 OK", chunk, repeat=MAX_BODY_BYTES // len(chunk) + 8) as (url, _),
        http_client() as client,
    ):
        with pytest.raises(UnreadableAnswer, match="too large"):
            await client.get(url)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
async def test_adapters_call_such_answers_unreadable(provider: str) -> None:
    bomb = gzip.compress(b"{}")
    async with (
        server("200 OK\r\nContent-Encoding: gzip", bomb) as (url, _),
        http_client() as client,
    ):
        adapter = make_client(provider, api_key="sk-sim-good-0123456789", base_url=url, http=client)
        with pytest.raises(BadAnswer, match="compressed"):
            await adapter.complete(ask())
        with pytest.raises(BadAnswer, match="compressed"):
            await anext(adapter.stream(ask()))


def test_there_is_one_set_of_tls_settings_and_it_verifies() -> None:
    assert shared.ssl_context() is shared.ssl_context()
    assert shared.ssl_context().verify_mode is ssl.CERT_REQUIRED
    assert shared.ssl_context().check_hostname
