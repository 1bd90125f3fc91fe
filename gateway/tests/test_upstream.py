"""The gateway's own HTTP client: bounded, forgetful, and kept out of our network."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from gateway import arrival
from gateway import upstream as module
from gateway.arrival import Answer
from gateway.upstream import NotConnected, Upstream, upstream, whole
from providers import dial, guard
from providers.dial import Refused
from providers.http import MAX_BODY_BYTES, UnreadableAnswer
from providers.tests.test_http import server

PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.5"


@pytest.fixture
async def http() -> AsyncIterator[Upstream]:
    async with upstream() as shared:
        yield shared


@pytest.fixture(autouse=True)
def nothing_listed() -> Iterator[None]:
    before = guard.current()
    guard.configure(())
    yield
    guard._guard = before


async def ask(http: Upstream, url: str, *, trusted: bool = True) -> Answer:
    headers = {"authorization": "Bearer sk-test"}
    return await http.post(url, body=b"{}", headers=headers, seconds=5, trusted=trusted)


async def test_the_last_scope_closes_what_all_scopes_share() -> None:
    async with upstream() as outer, upstream() as inner:
        assert outer is inner
    async with upstream() as another:
        assert another is not outer


async def test_nothing_goes_out_that_the_client_has_not_sent(http: Upstream) -> None:
    async with server("200 OK", b"hello") as (url, heads):
        response = await ask(http, url + "/a%2Fb?q=%20")
        assert await whole(response) == b"hello"

    first, *lines = heads[0].strip().split("\r\n")
    assert first == "POST /a%2Fb?q=%20 HTTP/1.1"
    names = sorted(line.split(":")[0].lower() for line in lines)
    assert names == ["accept-encoding", "authorization", "content-length", "host"]
    assert "identity" in heads[0]


async def test_cookies_are_neither_kept_nor_sent(http: Upstream) -> None:
    async with server("200 OK\r\nSet-Cookie: session=alice; Path=/") as (url, heads):
        for _ in range(2):
            await whole(await ask(http, url))
    assert len(heads) == 2 and not any("alice" in head for head in heads)


async def test_redirects_are_not_followed(http: Upstream) -> None:
    async with server("302 Found\r\nLocation: http://127.0.0.1:1/") as (url, heads):
        assert (await ask(http, url)).status == 302
    assert len(heads) == 1


async def test_no_proxy_is_taken_from_the_environment(
    http: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with server("200 OK", b"hello") as (url, _):
        assert await whole(await ask(http, url)) == b"hello"


async def test_an_answer_that_is_compressed_unasked_is_refused(http: Upstream) -> None:
    async with server("200 OK\r\nContent-Encoding: gzip", gzip.compress(b"{}")) as (url, _):
        with pytest.raises(UnreadableAnswer):
            await ask(http, url)


async def test_an_answer_that_is_too_large_is_given_up(http: Upstream) -> None:
    piece = b"x" * 2**20
    async with server("200 OK", piece, repeat=MAX_BODY_BYTES // 2**20 + 2) as (url, _):
        response = await ask(http, url)
        with pytest.raises(UnreadableAnswer):
            await whole(response)
        response.close()


async def test_a_stream_that_is_too_long_is_given_up(
    http: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "MAX_STREAM_BYTES", 3 * 2**20)
    async with server("200 OK", b"x" * 2**20, repeat=5) as (url, _):
        response = await ask(http, url)
        read = 0
        with pytest.raises(UnreadableAnswer):
            while piece := await response.read():
                read += len(piece)
        assert 2 * 2**20 < read <= 3 * 2**20
        response.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_of_our_network_is_not_dialled(
    http: Upstream, host: str, scheme: str
) -> None:
    with pytest.raises(Refused):
        await ask(http, f"{scheme}://{host}:9/v1", trusted=False)


async def test_a_name_of_our_network_is_not_dialled(http: Upstream) -> None:
    with pytest.raises(Refused):
        await ask(http, "https://localhost:9/v1", trusted=False)


async def test_a_listed_place_is_dialled(http: Upstream) -> None:
    async with server("200 OK", b"hello") as (url, _):
        guard.configure([url.removeprefix("http://")])
        assert await whole(await ask(http, url, trusted=False)) == b"hello"
        named = url.replace("127.0.0.1", "localhost")
        guard.configure([named.removeprefix("http://")])
        assert await whole(await ask(http, named, trusted=False)) == b"hello"


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [[PUBLIC], [PUBLIC, PRIVATE]]

    async def look_up(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    checked = dial.checked_addresses

    async def with_names(host: str, port: int, timeout: float, *, public: bool) -> Sequence[str]:
        return await checked(host, port, timeout, public=public, resolve=look_up)

    dialled: list[object] = []

    async def dial_none(addresses: Sequence[tuple[object, ...]], **options: object) -> None:
        dialled.append([address[4] for address in addresses])
        raise OSError

    monkeypatch.setattr(module, "checked_addresses", with_names)
    monkeypatch.setattr(module, "start_connection", dial_none)
    async with upstream() as http:
        with pytest.raises(NotConnected):
            await ask(http, "https://flips.example/v1", trusted=False)
        with pytest.raises(Refused):
            await ask(http, "https://flips.example/v1", trusted=False)
    assert dialled == [[(PUBLIC, 443)]]
