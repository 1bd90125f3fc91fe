"""What may be named, before any name is looked up."""

from __future__ import annotations

import httpx2
import pytest

from providers.errors import BaseURLRefused
from providers.guard import is_public, parse
from providers.keys import check_own_base_url
from providers.tests.conftest import Allow

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
    "address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "::ffff:8.8.8.8", "2a00::1"]
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
