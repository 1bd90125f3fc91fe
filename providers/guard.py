"""Where this server may connect to when a person has named the host: no way into our network.

Nothing private is reached unless the operator lists it (`configure`); until that has been called,
nothing is listed. Plain http goes to listed places only. Enforced by `providers.dial`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# A last label that is a number makes resolvers read an address: 2130706433, 127.1, 0x7f.1.
_NAME = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)$){_LABEL}")

# What `ipaddress.is_global` lets through in one Python version or another (docs/security.md).
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; the clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # Oracle's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Public IPv6 is 2000::/3. All else is not (loopback, ULA, link-local, multicast, NAT64, ::/96).
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(net)
    for net in (
        "2001::/23",  # protocols' own; Teredo, which wraps an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which wraps one too
        "3fff::/20",
    )
)


def is_public(address: str | Address) -> bool:
    """Whether an address is of the public internet. Raises ValueError for what is no address."""
    found = _plain(address)
    if isinstance(found, IPv4Address):
        return found.is_global and not any(found in net for net in _NOT_PUBLIC_V4)
    inside = found in _PUBLIC_V6 and found.is_global
    return inside and not any(found in net for net in _NOT_PUBLIC_V6)


def is_host(host: str) -> bool:
    """Whether this is a name, or an address as everybody reads it: no 127.1, no zone, no dot at
    the end."""
    return "%" not in host and (_address(host) is not None or _NAME.fullmatch(host) is not None)


def _plain(address: str | Address) -> Address:
    """Without the clothes of IPv6 around an IPv4 address (::ffff:127.0.0.1)."""
    found = ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found


def _address(host: str) -> Address | None:
    try:
        return _plain(host)
    except ValueError:
        return None


def _canonical(host: str) -> str:
    return str(_address(host) or host.lower())


def _is_private(host: str) -> bool:
    """As far as can be told without asking anybody."""
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return not is_public(address)


@dataclass(frozen=True, slots=True)
class Guard:
    """What the operator allows beyond the public internet.

    `hosts` are names or addresses as they stand in a URL, with a port or with None for any; what
    they resolve to is the operator's business. `networks` hold addresses that any name may
    resolve to.
    """

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[Network, ...] = ()

    def names(self, host: str, port: int) -> bool:
        host = _canonical(host)
        return (host, port) in self.hosts or (host, None) in self.hosts

    def holds(self, address: str | Address) -> bool:
        found = _plain(address)
        return any(found in net for net in self.networks)

    def flaw(self, scheme: str, host: str, port: int) -> str:
        """What speaks against a URL before its name is resolved; empty where nothing does."""
        literal = _address(host)
        if self.names(host, port) or (literal is not None and self.holds(literal)):
            return ""
        if _is_private(host):
            return "its host is not on the public internet; the operator can allow it here"
        # A name may still turn out to be in one of the operator's networks.
        if scheme != "https" and (literal is not None or not self.networks):
            return "it must begin with https://"
        return ""


def parse(allow: Iterable[str]) -> Guard:
    """A guard from `host`, `host:port`, `[IPv6]:port`, addresses and networks (`10.1.0.0/16`).

    Raises ValueError, which names the entry that can't be read.
    """
    hosts: set[tuple[str, int | None]] = set()
    networks: list[Network] = []
    for entry in allow:
        try:
            if "/" in entry:
                networks.append(ip_network(entry))
            else:
                hosts.add(_host_and_port(entry))
        except ValueError:
            raise ValueError(f"{entry!r} is no host, host:port or network") from None
    return Guard(frozenset(hosts), tuple(networks))


def _host_and_port(entry: str) -> tuple[str, int | None]:
    if entry.count(":") > 1 and not entry.startswith("["):
        entry = f"[{entry}]"  # an IPv6 address without a port
    parts = urlsplit(f"//{entry}")
    host = parts.hostname or ""
    if parts.netloc != entry or "@" in entry or entry.endswith(":") or not is_host(host):
        raise ValueError(entry)
    return _canonical(host), parts.port


_guard = Guard()


def configure(allow: Iterable[str]) -> None:
    """Sets this process's guard: once, at start. Raises ValueError as `parse` does."""
    global _guard
    _guard = parse(allow)


def current() -> Guard:
    return _guard
