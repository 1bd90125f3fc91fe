"""What is dialled: the address that was checked, or nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore2
import httpx2
import pytest

from providers.dial import GuardedBackend, Refused
from providers.errors import DestinationRefused, ProviderError
from providers.http import SharedClient, http_client
from providers.registry import make_client
from providers.tests.conftest import Allow, Subject
from providers.tests.test_http import server
from providers.tests.wire import ask

PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
PRIVATE = "10.0.0.5"


@dataclass
class Names:
    """A resolver. A name's answers come in order, the last one for ever."""

    answers: list[Sequence[str] | Exception]
    asked: int = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Stream(httpcore2.AsyncMockStream):
    """Answers "ok", and remembers the name that TLS was asked to check."""

    def __init__(self) -> None:
        super().__init__([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
        self.server_hostname: str | None = None

    async def start_tls(self, *args: Any, **options: Any) -> Stream:
        self.server_hostname = options["server_hostname"]
        return self


@dataclass
class Network(httpcore2.AsyncNetworkBackend):
    """Where connections would be made; those to `down` fail."""

    down: frozenset[str] = frozenset()
    dialled: list[tuple[str, int]] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> Stream:
        self.dialled.append((host, port))
        if host in self.down:
            raise httpcore2.ConnectError("no route")
        self.streams.append(Stream())
        return self.streams[-1]


async def get(url: str, names: Names, network: Network, *, public: bool = True) -> None:
    """One request, by a connection of its own."""
    backend = GuardedBackend(public=public, resolve=names, network=network)
    async with httpcore2.AsyncConnectionPool(network_backend=backend) as pool:
        assert (await pool.request("GET", url)).status == 200


# Dialling ----------------------------------------------------------------------------------


async def test_the_checked_address_is_dialled_and_tls_checks_the_name(allow: Allow) -> None:
    names, network = Names([[PUBLIC]]), Network()
    await get("https://api.example.com/v1", names, network)

    assert network.dialled == [(PUBLIC, 443)]
    assert network.streams[0].server_hostname == "api.example.com"
    assert names.asked == 1


async def test_a_name_that_turns_private_after_the_check_gains_nothing(allow: Allow) -> None:
    names, network = Names([[PUBLIC], [PRIVATE]]), Network()
    await get("https://rebind.example", names, network)
    with pytest.raises(Refused):
        await get("https://rebind.example", names, network)

    assert network.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "answer",
    [
        [PRIVATE],
        [PUBLIC, PRIVATE],
        [PRIVATE, PUBLIC],
        [PUBLIC, "::1"],
        [*[PUBLIC] * 5, PRIVATE],
        ["::ffff:10.0.0.5"],
        [],
    ],
)
async def test_one_private_address_is_enough_to_refuse_all(answer: list[str], allow: Allow) -> None:
    network = Network()
    with pytest.raises(Refused):
        await get("https://mixed.example", Names([answer]), network)
    assert network.dialled == []


async def test_an_unknown_name_looks_like_a_private_one(allow: Allow) -> None:
    """Else people could learn which names exist in our network."""
    unknown = socket.gaierror(socket.EAI_NONAME, "unknown")
    for answer in (unknown, UnicodeError("label too long"), [PRIVATE]):
        with pytest.raises(Refused) as caught:
            await get("https://maybe.example", Names([answer]), Network())
        assert str(caught.value) == str(Refused())


async def test_a_resolver_in_trouble_is_no_refusal(allow: Allow) -> None:
    trouble = socket.gaierror(socket.EAI_AGAIN, "try again")
    with pytest.raises(httpcore2.ConnectError):
        await get("https://api.example.com", Names([trouble]), Network())


async def test_the_next_address_is_tried_where_one_is_down(allow: Allow) -> None:
    network = Network(down=frozenset({PUBLIC_6}))
    await get("https://api.example.com", Names([[PUBLIC_6, PUBLIC]]), network)
    assert network.dialled == [(PUBLIC_6, 443), (PUBLIC, 443)]

    with pytest.raises(httpcore2.ConnectError):
        await get("https://api.example.com", Names([[PUBLIC_6]]), network)


async def test_plain_http_reaches_only_what_is_listed(allow: Allow) -> None:
    network = Network()
    with pytest.raises(Refused):
        await get("http://api.example.com", Names([[PUBLIC]]), network, public=False)
    allow("10.0.0.0/8")
    await get("http://llm.intern:8000", Names([[PRIVATE]]), network, public=False)
    assert network.dialled == [(PRIVATE, 8000)]


async def test_a_listed_name_may_resolve_to_anything_but_no_other_name_may(allow: Allow) -> None:
    allow("llm.intern:8000")
    network = Network()
    await get("https://llm.intern:8000", Names([[PRIVATE]]), network)
    for url in ("https://llm.intern", "https://evil.example:8000"):
        with pytest.raises(Refused):
            await get(url, Names([[PRIVATE]]), network)
    assert network.dialled == [(PRIVATE, 8000)]


async def test_a_unix_socket_is_never_dialled() -> None:
    with pytest.raises(NotImplementedError):
        await GuardedBackend(public=True).connect_unix_socket("/run/docker.sock")


# The shared client and the adapters, on real sockets ------------------------------------------


async def call(subject: Subject, way: str, **options: Any) -> None:
    client = subject.client(**options)
    if way == "complete":
        await client.complete(subject.ask())
    elif way == "models":
        await client.models()
    else:
        assert [event async for event in client.stream(subject.ask())]


WAYS = pytest.mark.parametrize("way", ["complete", "stream", "models"])


@WAYS
async def test_adapters_do_not_reach_a_private_host(
    subject: Subject, way: str, allow: Allow
) -> None:
    key = subject.key()
    with pytest.raises(DestinationRefused) as caught:
        await call(subject, way, key=key)

    error = caught.value
    assert (error.status, error.code, error.retryable) == (400, "destination_refused", False)
    assert "127.0.0.1" not in str(error) and error.__cause__ is None and error.__context__ is None
    assert subject.calls_of(key) == []


@WAYS
async def test_adapters_reach_a_private_host_that_is_listed(
    subject: Subject, way: str, allow: Allow
) -> None:
    allow("127.0.0.1")
    key = subject.key()
    await call(subject, way, key=key)
    assert subject.calls_of(key)


@WAYS
async def test_the_operators_own_url_needs_no_listing(
    subject: Subject, way: str, allow: Allow
) -> None:
    await call(subject, way, trusted=True)


async def test_a_connection_made_without_the_guard_serves_no_call_that_needs_it(
    subject: Subject, allow: Allow
) -> None:
    await call(subject, "models", trusted=True)
    with pytest.raises(DestinationRefused):
        await call(subject, "models")


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
async def test_a_refusal_does_not_tell_an_open_port_from_a_closed_one(
    provider: str, allow: Allow
) -> None:
    said = set()
    async with server("200 OK") as (url, heads), http_client() as http:
        for base_url in (url, "http://127.0.0.1:1", "http://10.255.255.1", "https://[::1]:9"):
            client = make_client(provider, api_key="sk-0123456789", base_url=base_url, http=http)
            with pytest.raises(ProviderError) as caught:
                await client.complete(ask())
            said.add((type(caught.value), str(caught.value)))
    assert len(said) == 1 and heads == []


async def test_a_providers_own_host_is_not_asked_of_the_guard(subject: Subject) -> None:
    if subject.row.base_url:
        shared = subject.client(base_url=None)._http
        assert isinstance(subject.http, SharedClient) and shared is subject.http.trusted
    assert subject.client()._http is subject.http


async def test_the_two_clients_close_together_and_share_their_hooks(allow: Allow) -> None:
    seen: list[str] = []

    async def hook(request: httpx2.Request) -> None:
        seen.append(request.url.host)

    async with server("204 No Content") as (url, _), http_client() as http:
        http.event_hooks["request"].append(hook)
        await http.trusted.get(url)
        with pytest.raises(Refused):
            await http.get(url)
    assert seen == ["127.0.0.1"] * 2
    assert http.is_closed and http.trusted.is_closed
