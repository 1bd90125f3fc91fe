from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore2
import httpx2
import pytest

from providers import guard
from providers.errors import BaseURLRefused, DestinationRefused, ProviderError
from providers.guard import GuardedBackend, Refused, is_public, parse
from providers.http import SharedClient, http_client
from providers.keys import check_own_base_url
from providers.registry import make_client
from providers.tests.conftest import Subject
from providers.tests.test_http import server
from providers.tests.wire import ask

Allow = Callable[..., None]
PUBLIC, PUBLIC_6 = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
PRIVATE = "10.0.0.5"


@pytest.fixture
def allow(settings: Any) -> Iterator[Allow]:
    """Sets what the operator lists; nothing to begin with."""

    def listed(*entries: str) -> None:
        guard.configure(entries)

    listed()
    yield listed
    guard.configure(settings.BASE_URL_ALLOW)


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


# Addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8"]
    + ["168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1"]
    + ["192.0.0.9", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"]
    + ["198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"]
    + ["255.255.255.255", "::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1"]
    + ["::ffff:169.254.169.254", "::ffff:a00:1", "64:ff9b::8.8.8.8", "64:ff9b::7f00:1"]
    + ["64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1"]
    + ["2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:5::1", "3fff::1"]
    + ["5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"]
    + ["ff0e::1"],
)
def test_these_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", PUBLIC, PUBLIC_6, "172.32.0.1", "::ffff:8.8.8.8", "2a00::1"]
)
def test_these_addresses_are(address: str) -> None:
    assert is_public(address)


# URLs, before anything is looked up -----------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0177.0.0.1", "0x7f.1", "0x7f000001", "127.1", "127.0.1", "0", "0x", "1.2.3.4.5"]
    + ["0x7f.0.0.0x1", "256.256.256.256", "127.0.0.01", "example.0x7f", "localhost.", "127.0.0.1."]
    + ["api.example.com.", "[fe80::1%25eth0]", "[::1%eth0]", "127。0。0。1", "①②⑦.0.0.1"]
    + [
        "ⓛocalhost",
        "%31%32%37.0.0.1",
        "user@127.0.0.1",
        "a..b",
        "-a.example",
        f"{'a' * 64}.example",
    ]
    + ["api.example.com:80@127.0.0.1", "127.0.0.1\\@api.example.com", "a\tb", "exa$mple.com"],
)
def test_a_host_in_an_odd_form_is_refused_at_once(host: str, allow: Allow) -> None:
    allow("0.0.0.0/0", "::/0")
    with pytest.raises(BaseURLRefused) as caught:
        check_own_base_url("openai_compatible", f"https://{host}/v1")
    assert host not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.5", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"]
    + ["[fd00:ec2::254]", "[64:ff9b::7f00:1]", "localhost", "LOCALHOST", "api.localhost"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_is_plainly_private_is_refused_at_once(
    scheme: str, host: str, allow: Allow
) -> None:
    with pytest.raises(BaseURLRefused, match="not on the public internet"):
        check_own_base_url("openai_compatible", f"{scheme}://{host}/v1")


def test_plain_http_is_for_listed_hosts(allow: Allow) -> None:
    with pytest.raises(BaseURLRefused, match="must begin with https"):
        check_own_base_url("openai_compatible", "http://llm.example/v1")
    allow("llm.example")
    assert check_own_base_url("openai_compatible", "http://llm.example/v1")


@pytest.mark.parametrize(
    "host", ["api.example.com", "a_b.example", "8.8.8.8", "[2a00::1]", "intra"]
)
def test_all_else_is_asked_of_the_resolver_later(host: str, allow: Allow) -> None:
    url = f"https://{host}/v1"
    assert check_own_base_url("openai_compatible", url) == url


# The list --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "url", "listed"),
    [
        ("localhost", "http://localhost:11434", True),
        ("localhost:11434", "http://localhost:11434", True),
        ("localhost:11434", "http://localhost:22", False),
        ("LocalHost", "http://localhost", True),
        ("127.0.0.1", "http://127.0.0.1:8000", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]", True),
        ("127.0.0.1", "http://127.0.0.2", False),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("::1", "http://[0:0:0:0:0:0:0:1]", True),
        ("10.1.0.0/16", "http://10.1.2.3:80", True),
        ("10.1.0.0/16", "http://10.2.2.3", False),
        ("fd00::/8", "http://[fd00::1]", True),
        ("llm.example", "http://llm.example.evil.test", False),
    ],
)
def test_the_operator_lists_hosts_ports_and_networks(entry: str, url: str, listed: bool) -> None:
    at = httpx2.URL(url)
    port = at.port or 80
    assert (parse([entry]).flaw(at.scheme, at.host, port) == "") is listed


@pytest.mark.parametrize(
    "entry", ["", "*", "http://x", "x/y", "10.1.2.3/8", "host:port", "a b", "u@host", "127.1", "h:"]
)
def test_an_entry_that_can_not_be_read_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="no host, host:port or network"):
        parse([entry])


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
