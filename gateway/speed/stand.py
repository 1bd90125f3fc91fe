"""The stand: simulator, bare relay and the product's own server, each a process of its own, and a
database that is thrown away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection

from credentials.models import AccessToken
from credentials.services import add_credential
from gateway.speed.load import STREAM_CHUNKS, Target
from usage.budget_models import Budget

KEY = "sk-sim-ok-bench-gateway"
PATIENCE = 30.0  # seconds for a server to come up
_ENOUGH = 10**9
_BASE = "/openai/v1"


class NotUp(Exception):
    """A server did not come up."""


@contextmanager
def standing(*, budget: bool) -> Iterator[list[Target]]:
    """The three targets, for as long as they are needed: direct, bare, gateway; with a budget to
    keep or without."""
    with ExitStack() as stack:
        database = stack.enter_context(throwaway_database())
        token = _guest(budget)
        simulator = stack.enter_context(_simulator())
        environment = {
            "DATABASE_URL": database,
            "BYOM_SIMULATOR_URL": simulator,
            "BYOM_CALLS_PER_MINUTE": str(_ENOUGH),
        }
        bare_port, port = _free_port(), _free_port()
        bare = ["-m", "gateway.speed.bare", simulator + _BASE, str(bare_port)]
        server = ["-m", "uvicorn", "byom.asgi:application", "--port", str(port)]
        server += ["--no-access-log", "--log-level", "warning"]
        bare_id = stack.enter_context(_process(bare, {}, bare_port))
        server_id = stack.enter_context(_process(server, environment, port))
        yield [
            Target("direct", simulator + _BASE, KEY),
            Target("bare", f"http://127.0.0.1:{bare_port}", KEY, bare_id),
            Target("gateway", f"http://127.0.0.1:{port}/v1", token, server_id),
        ]


@contextmanager
def throwaway_database() -> Iterator[str]:
    """The URL of a migrated, empty database, which this process uses too while it is there: a
    file, or one more on the server that DATABASE_URL names."""
    before = connection.settings_dict["NAME"]
    with TemporaryDirectory() as folder:
        name = f"byom_bench_{os.getpid()}"
        on_disk = str(Path(folder) / "bench.sqlite3")
        connection.settings_dict["TEST"]["NAME"] = on_disk if _is_sqlite() else name
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            yield _url(connection.settings_dict)
        finally:
            connection.creation.destroy_test_db(before, verbosity=0)


def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def _url(database: dict[str, Any]) -> str:
    if _is_sqlite():
        return f"sqlite:///{database['NAME']}"
    user, password = (quote(database[name], safe="") for name in ("USER", "PASSWORD"))
    host, port = database["HOST"] or "localhost", database["PORT"] or 5432
    return f"postgres://{user}:{password}@{host}:{port}/{database['NAME']}"


def _guest(budget: bool) -> str:
    """The token of somebody with a key and perhaps a budget that never ends."""
    user = get_user_model().objects.create_user("bench")
    add_credential(owner=user, provider="openai", api_key=KEY)
    if budget:
        Budget.objects.create(name="bench", user=user, limit_units=_ENOUGH**2 // 1000)
    return AccessToken.issue(user=user, name="bench")[1]


@contextmanager
def _simulator() -> Iterator[str]:
    """Its URL. It answers at once, in twenty pieces where the answer is streamed."""
    arguments = ["-m", "benchmarks.simulator", "--port", "0", "--exit-with-parent"]
    arguments += ["--ttft-ms", "0", "--itl-ms", "0", "--tokens", str(STREAM_CHUNKS)]
    with _started(arguments, {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise NotUp("The simulator did not come up:")
        yield json.loads(line)["url"]


@contextmanager
def _process(arguments: list[str], environment: dict[str, str], port: int) -> Iterator[int]:
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
    arguments: list[str], environment: dict[str, str], **pipes: int
) -> Iterator[subprocess.Popen[bytes]]:
    """What it says goes to a file: a line for each call would cost more where a terminal shows it,
    and is of interest only if it does not come up."""
    with TemporaryFile() as said, _popen(arguments, environment, said, **pipes) as process:
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
    arguments: list[str], environment: dict[str, str], said: IO[bytes], **pipes: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        start_new_session=True,  # a Ctrl-C on the terminal is for the parent to handle
        stdin=pipes.get("stdin"),
        stdout=pipes.get("stdout", said),
        stderr=said,
    )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
