"""`rotate_keys`, killed in the middle while people write, and started again: all of it in
processes of their own, on a database that is made for it.

With BYOM_PROOF_USERS=100 it takes 3,000 keys, and prints what it saw (pytest -s).
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
import pytest
from django.conf import settings

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SERVER = "postgres://postgres@127.0.0.1:5432"
PATIENCE = 60.0
USERS = os.environ.get("BYOM_PROOF_USERS", "20")
ROWS = int(USERS) * 30
K1, K2 = (f"{kid}:{base64.b64encode(kid.encode() * 16).decode()}" for kid in ("k1", "k2"))


@dataclass(frozen=True)
class Database:
    url: str
    folder: Path
    connect: Callable[[], Any]

    def start(
        self,
        ring: str,
        *command: str,
        variables: Mapping[str, str] = MappingProxyType({}),
        **pipes: Any,
    ) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "BYOM_VAR_DIR": str(self.folder),
            "SECRET_KEY": "only-for-tests",
            "DATABASE_URL": self.url,
            "BYOM_ENCRYPTION_KEYS": ring,
            "BYOM_PROOF_USERS": USERS,
            **variables,
        }
        return subprocess.Popen(
            [sys.executable, *command], env=environment, cwd=settings.BASE_DIR, text=True, **pipes
        )

    def run(self, ring: str, *command: str) -> str:
        pipe = subprocess.PIPE
        process = self.start(ring, *command, stdout=pipe, stderr=pipe)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        return out

    def worker(self, ring: str, *arguments: str) -> subprocess.Popen[str]:
        module = ("-m", "credentials.tests.rotation_worker")
        return self.start(ring, *module, *arguments, stdout=subprocess.PIPE)


@contextmanager
def sqlite_database(folder: Path) -> Iterator[Database]:
    file = folder / "killed.sqlite3"
    yield Database(f"sqlite:///{file}", folder, lambda: sqlite3.connect(file, timeout=20))


@contextmanager
def postgres_database(folder: Path) -> Iterator[Database]:
    try:
        admin = psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432")
    name = f"byom_killed_{uuid.uuid4().hex[:12]}"
    with closing(admin):
        admin.execute(f"CREATE DATABASE {name}")
        try:
            url = f"{SERVER}/{name}"
            yield Database(url, folder, lambda: psycopg.connect(url, autocommit=True))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=[sqlite_database, postgres_database], ids=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with request.param(tmp_path) as made:
        yield made


def rows_on(connection: Any, kid: str) -> int:
    like = f"SELECT count(*) FROM credentials_llmcredential WHERE api_key LIKE 'byom1:{kid}:%'"
    return int(connection.execute(like).fetchone()[0])


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@contextmanager
def writers(database: Database, ring: str) -> Iterator[dict[str, Path]]:
    """Two processes that replace keys and edit labels until the block ends."""
    logs = {name: database.folder / f"{name}.log" for name in ("keys", "labels")}
    processes = [database.worker(ring, name, str(database.folder)) for name in logs]
    try:
        wait_for(lambda: all(log.exists() and log.stat().st_size for log in logs.values()))
        yield logs
    finally:
        (database.folder / "stop").touch()
        codes = [process.wait(PATIENCE) for process in processes]
        for process in processes:
            process.stdout.close()  # type: ignore[union-attr]  # it is a pipe
    assert codes == [0, 0]


def test_a_killed_rotation_goes_on_and_loses_no_write(database: Database) -> None:
    both = f"{K2},{K1}"
    seeding = database.worker(K1, "seed")
    seeding.communicate(timeout=PATIENCE)
    with closing(database.connect()) as connection:
        total = rows_on(connection, "k1")
        with writers(database, both) as logs:
            command = ("manage.py", "rotate_keys", "--batch", "10")
            rotation = database.start(both, *command, stdout=subprocess.DEVNULL)
            wait_for(lambda: rows_on(connection, "k2") >= total * 0.25)
            rotation.kill()
            rotation.wait()
            at_kill = rows_on(connection, "k2")
            said = database.run(both, *command)
            left = rows_on(connection, "k1")
        writes = {name: len(log.read_text().splitlines()) for name, log in logs.items()}
    # With the new key alone on the ring, as after the last step of the manual.
    verifying = database.worker(K2, "verify", str(database.folder))
    found = json.loads(verifying.communicate(timeout=PATIENCE)[0])

    print(f"\nkilled at {at_kill} of {total}; then: {said.splitlines()[-1]} writes: {writes}")
    assert (total, left) == (ROWS, 0)
    assert 0.2 * total <= at_kill <= 0.8 * total
    assert found == {"rows": ROWS, "wrong_keys": 0, "wrong_labels": 0}
