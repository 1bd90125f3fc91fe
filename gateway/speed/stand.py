"""The stand: an upstream, bare relays and the product's own server, each a process of its own,
and a database that is thrown away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import IO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection

from byom.throwaway import database_url, throwaway_database
from credentials.models import AccessToken
from credentials.services import add_credential
from gateway.speed.load import Target
from usage.budget_models import Budget

KEY = "sk-sim-ok-bench-gateway"
PATIENCE = 30.0  # seconds for a server to come up
_ENOUGH = 10**9
_BASE = "/openai/v1"
_NONE: Mapping[str, str] = MappingProxyType({})


class NotUp(Exception):
    """A server did not come up."""


@contextmanager
def standing(
    *, budget: bool, users: int = 1, variables: Mapping[str, str] = _NONE
) -> Iterator[list[Target]]:
    """The targets, for as long as they are needed: the provider itself, bare relays by aiohttp, by
    our own client and on PostgreSQL one more with the least possible row for each call, and the
    gateway; with so many users, each with a budget to keep or without. `variables` are settings of
    the gateway's."""
    with ExitStack() as stack:
        stack.enter_context(throwaway_database())
        token, *others = [_guest(f"bench-{number}", budget) for number in range(users)]

        def started(command: list[str], environment: Mapping[str, str] = _NONE) -> tuple[str, int]:
            port = _free_port()
            process = stack.enter_context(_process([*command, str(port)], environment, port))
            return f"http://127.0.0.1:{port}", process

        database = {"DATABASE_URL": database_url()}
        upstream, _ = started(["-m", "gateway.speed.upstream"])
        targets = [Target("direct", upstream + _BASE, KEY)]
        for name, words in _relays().items():
            url, process = started([*words, upstream + _BASE], database)
            targets.append(Target(name, url, KEY, process))
        environment = {
            **database,
            "BYOM_SIMULATOR_URL": upstream,
            "BYOM_CALLS_PER_MINUTE": str(_ENOUGH),
            "BYOM_LOG_LEVEL": "WARNING",  # a line for each call costs some 0.05 ms
            **variables,
        }
        server = ["-m", "byom.serve", "byom.asgi:application", "--no-access-log"]
        server += ["--log-level", "warning", "--port"]
        url, process = started(server, environment)
        yield [*targets, Target("gateway", f"{url}/v1", token, process, tuple(others))]


def _relays() -> dict[str, list[str]]:
    """Commands of the bare relays by their names."""
    found = {
        "bare": ["-m", "gateway.speed.bare", "aiohttp"],
        "bare, own client": ["-m", "gateway.speed.bare", "own"],
    }
    if connection.vendor == "postgresql":
        found["bare, and a row"] = ["-m", "gateway.speed.bare_row"]
    return found


def _guest(name: str, budget: bool) -> str:
    """The token of somebody with a key and perhaps a budget that never ends."""
    user = get_user_model().objects.create_user(name)
    add_credential(owner=user, provider="openai", api_key=KEY)
    if budget:
        Budget.objects.create(name=name, user=user, limit_units=_ENOUGH**2 // 1000)
    return AccessToken.issue(user=user, name=name)[1]


@contextmanager
def _process(arguments: list[str], environment: Mapping[str, str], port: int) -> Iterator[int]:
    """The id of a server's process, once it listens."""
    with _started(arguments, environment) as process:
        until = time.monotonic() + PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise NotUp("A server did not come up:")
            time.sleep(0.05)
        yield process.pid


@contextmanager
def _started(
    arguments: list[str], environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """What it says goes to a file: a line for each call would cost more where a terminal shows it,
    and is of interest only if it does not come up."""
    with TemporaryFile() as said, _popen(arguments, environment, said) as process:
        try:
            yield process
        except NotUp as error:
            said.seek(0)
            raise NotUp(f"{error}\n{said.read()[-2000:].decode(errors='replace')}") from None
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _popen(
    arguments: list[str], environment: Mapping[str, str], said: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        start_new_session=True,  # a Ctrl-C on the terminal is for the parent to handle
        stdout=said,
        stderr=said,
    )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
