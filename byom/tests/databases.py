"""Databases of their own, for tests whose processes are not this one: SQLite and PostgreSQL.

Migrating takes longer than most of what such tests do. It is done once for each kind, and each
test gets a copy (fixture `database`).
"""

from __future__ import annotations

import base64
import os
import shutil
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

SERVER = "postgres://postgres@127.0.0.1:5432"
PATIENCE = 120.0
K1, K2 = (f"{kid}:{base64.b64encode(kid.encode() * 16).decode()}" for kid in ("k1", "k2"))
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Database:
    """`url` for processes that are started here, `connect` for a look of our own."""

    url: str
    folder: Path
    connect: Callable[[], Any]

    def start(
        self, ring: str, *command: str, variables: Mapping[str, str] = NONE, **pipes: Any
    ) -> subprocess.Popen[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "BYOM_VAR_DIR": str(self.folder),
            "SECRET_KEY": "only-for-tests",
            "DATABASE_URL": self.url,
            "BYOM_ENCRYPTION_KEYS": ring,
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


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def of_sqlite(file: Path) -> Database:
    return Database(f"sqlite:///{file}", file.parent, lambda: sqlite3.connect(file, timeout=20))


def of_postgres(name: str, folder: Path) -> Database:
    url = f"{SERVER}/{name}"
    return Database(url, folder, lambda: psycopg.connect(url, autocommit=True))


def migrate(database: Database) -> None:
    database.run(K1, "manage.py", "migrate", "--verbosity", "0")


@contextmanager
def created(like: str = "template1") -> Iterator[str]:
    """The name of a new database on the PostgreSQL server; skips the test where none answers."""
    try:
        admin = psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers at 127.0.0.1:5432")
    name = f"byom_own_{uuid.uuid4().hex[:12]}"
    with closing(admin):
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        try:
            yield name
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copy_of_sqlite(migrated: Path, folder: Path) -> Iterator[Database]:
    yield of_sqlite(Path(shutil.copy(migrated, folder / "own.sqlite3")))


@contextmanager
def copy_of_postgres(migrated: str, folder: Path) -> Iterator[Database]:
    with created(migrated) as name:
        yield of_postgres(name, folder)
