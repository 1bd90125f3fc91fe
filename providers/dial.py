"""Connections to hosts that a person has named, made only where `providers.guard` lets them.

A name can be looked up twice and answer differently, so the check is made where the connection
is: the name is resolved once, *all* of its addresses are checked, and a checked one is dialled.
TLS still asks the certificate for the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio
import httpcore2
import httpx2

from providers.guard import current, is_public

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_ADDRESSES = 4  # tried of one name
_CONNECT_SECONDS = 10.0  # where the caller names no limit

# Of their own: a name that is slow to resolve must not hold up the lookups of providers' names.
_threads = ThreadPoolExecutor(8, thread_name_prefix="guarded-lookup")


class Refused(httpx2.TransportError):
    """The guard does not let this connection be made. One sentence for every reason: neither
    addresses nor open ports of our network can be learned from it."""

    def __init__(self) -> None:
        super().__init__("this server does not connect to that host")


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, in the order in which the system would try them."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_threads, look_up)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def checked_addresses(
    host: str, port: int, timeout: float, *, public: bool, resolve: Resolver = system_resolver
) -> Sequence[str]:
    """The host's addresses, if none of them is out of bounds. With `public` off only what the
    operator has listed is in bounds. Raises Refused, and what httpcore raises where a name can't
    be looked up."""
    guard = current()
    addresses = await _look_up(host, port, timeout, resolve)
    if guard.names(host, port):
        return addresses
    if all(guard.holds(found) or (public and is_public(found)) for found in addresses):
        return addresses
    raise Refused


async def _look_up(host: str, port: int, timeout: float, resolve: Resolver) -> Sequence[str]:
    """Empty for a name that does not exist: which names do, of ours, is nobody's business."""
    try:
        with anyio.fail_after(timeout):
            return await resolve(host, port)
    except TimeoutError:
        raise httpcore2.ConnectTimeout("the host's name was not looked up in time") from None
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise httpcore2.ConnectError("the host's name can't be looked up now") from None
    except (OSError, UnicodeError):
        pass
    return ()


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Makes the connections of a pool, each to an address that has just been checked.

    With `public` off only what the operator has listed is reached: so for plain http.
    """

    def __init__(
        self,
        *,
        public: bool,
        resolve: Resolver = system_resolver,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._public = public
        self._resolve = resolve
        self._network = network or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        timeout = timeout or _CONNECT_SECONDS
        addresses = await checked_addresses(
            host, port, timeout, public=self._public, resolve=self._resolve
        )
        addresses = addresses[:MAX_ADDRESSES]
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout / len(addresses), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or Refused()
