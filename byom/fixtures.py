"""Fixtures for all tests (a pytest plugin, named in pytest.ini).

The simulator is the one stand-in of the project, and it is a real HTTP server.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import SyncToAsync

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.test import APIClient

    from benchmarks.simulator.server import SimulatorThread
    from byom.tests.databases import Database


_PATIENCE = 5.0  # seconds


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Before any fixture ends: the thread that writes the ledger looks after leases until nobody
    needs them, and a server of the test's may still read for a client that has left. Neither must
    meet a database that is being emptied."""
    if selection := sys.modules.get("gateway.selection"):
        _wait_for(selection._threads)
    if ledger := sys.modules.get("usage.group_commit"):
        ledger.leases.forget_all()
        ledger.group_commit().close()


def _wait_for(threads: ThreadPoolExecutor) -> None:
    """Until none of them is at work. Python has no public way to ask."""
    until = monotonic() + _PATIENCE
    while monotonic() < until:
        is_idle = threads._idle_semaphore._value >= len(threads._threads)
        if is_idle and threads._work_queue.empty():
            return
        sleep(0.005)


@pytest.fixture(autouse=True)
def close_connections_of_async_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """An async test's database work runs in asgiref's thread, whose connection nobody closes:
    PostgreSQL would not drop the test database."""
    yield
    if request.node.get_closest_marker("asyncio"):
        from django.db import connections

        SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(autouse=True)
def no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn's heartbeat comes over a connection of its own, which can't see what a test has not
    committed: on a slow machine it would stop the turn. Tests call `agents.running.beat`."""
    monkeypatch.setattr("agents.running.BEAT", 3600.0)


@pytest.fixture(scope="session")
def simulator_thread() -> Iterator[SimulatorThread]:
    from benchmarks.simulator.server import SimulatorThread

    with SimulatorThread() as thread:
        yield thread


@pytest.fixture
def simulator(simulator_thread: SimulatorThread, settings: Any) -> SimulatorThread:
    """The provider simulator, switched on, with an empty log."""
    simulator_thread.app.log.clear()
    settings.SIMULATOR_URL = simulator_thread.url
    return simulator_thread


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from byom.tests.databases import migrate, of_sqlite

    file = tmp_path_factory.mktemp("migrated") / "migrated.sqlite3"
    migrate(of_sqlite(file))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file has all of it
    return file


@pytest.fixture(scope="session")
def migrated_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from byom.tests.databases import created, migrate, of_postgres

    with created() as name:
        migrate(of_postgres(name, tmp_path_factory.mktemp("migrated")))
        yield name


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database for processes of the test's own, of each kind."""
    from byom.tests import databases

    copy = getattr(databases, f"copy_of_{request.param}")
    with copy(request.getfixturevalue(f"migrated_{request.param}"), tmp_path) as made:
        yield made


@pytest.fixture
def allow(settings: Any) -> Iterator[Callable[..., None]]:
    """Sets what base URLs may reach of the server's own network: nothing, to begin with."""
    from providers import guard

    def listed(*entries: str) -> None:
        guard.configure(entries)

    listed()
    yield listed
    guard.configure(settings.BASE_URL_ALLOW)


@pytest.fixture(autouse=True)
def fresh_limits() -> Iterator[None]:
    """No test uses up the limits of another, has its keys suspended or remembers its rows."""
    from credentials.limits import buckets

    yield
    if memory := sys.modules.get("usage.memory"):
        memory.forget_everything()
    buckets.cache_clear()
    if breakers := sys.modules.get("agents.breaker"):
        breakers.breaker.clear()


@pytest.fixture
def alice(db: None) -> User:
    from credentials.tests.factories import UserFactory

    return UserFactory.create(username="alice")


@pytest.fixture
def bob(db: None) -> User:
    from credentials.tests.factories import UserFactory

    return UserFactory.create(username="bob")


@pytest.fixture
def api_as() -> Callable[[User], APIClient]:
    """An API client that signs in with a new access token of the given user."""
    from rest_framework.test import APIClient

    from credentials.models import AccessToken

    def client(user: User) -> APIClient:
        _, token = AccessToken.issue(user=user, name="test")
        api = APIClient()
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return api

    return client


@pytest.fixture
def api(alice: User, api_as: Callable[[User], APIClient]) -> APIClient:
    """Alice's API client."""
    return api_as(alice)


@pytest.fixture
def no_retry_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""
    monkeypatch.setattr("agents.tries.RETRY_SECONDS", (0.0, 0.0, 0.0))
