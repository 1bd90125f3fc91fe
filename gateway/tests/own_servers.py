"""Servers of a test's own: the product as `byom.serve` starts it, a process for each."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2

from byom.tests.databases import K1, PATIENCE, Database, wait_for

CALLS = 64  # that one person may have under way


@contextmanager
def server(database: Database, provider: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and its process, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ("-m", "byom.serve", "byom.asgi:application", "--port", str(port), "--no-access-log")
    limits = {
        "BYOM_SIMULATOR_URL": provider,
        "BYOM_CALLS_PER_MINUTE": "1000000",
        "BYOM_CONCURRENT_CALLS": str(CALLS),
        "BYOM_LOG_LEVEL": "ERROR",
    }
    log = (database.folder / f"server-{port}.log").open("w")
    with log, database.start(K1, *command, variables=limits, stdout=log, stderr=log) as process:
        try:
            wait_for(lambda: process.poll() is None and _listens(port))
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def program(url: str, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    most = httpx2.Limits(max_connections=100)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=PATIENCE, limits=most, trust_env=False
    ) as http:
        yield http


def worked(database: Database, *command: str) -> Any:
    """What `gateway.tests.proof_worker` says."""
    return json.loads(database.run(K1, "-m", "gateway.tests.proof_worker", *command))
