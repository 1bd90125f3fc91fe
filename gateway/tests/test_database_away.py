"""The database is started anew, or can't be reached, while people call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError

from benchmarks.simulator.server import SimulatorProcess
from byom.tests.databases import Database
from gateway.tests.own_servers import program, server, worked
from gateway.tests.sdks import run
from gateway.tests.test_exchange import Client, asking
from gateway.tests.under_load import QUESTION

CALLERS = 8
BREAKS = 4


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with SimulatorProcess(["--ttft-ms", "1", "--itl-ms", "0"]) as simulator:
        yield simulator.url


def hang_up(database: Database) -> None:
    """Ends all connections to it, as a restart does."""
    with database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


@pytest.mark.integration
@pytest.mark.slow
async def test_connections_that_end_cost_no_answer_and_no_row(
    database: Database, provider: str
) -> None:
    if not database.url.startswith("postgres"):
        pytest.skip("SQLite has no connections to lose")
    token = worked(database, "seed", "100000")["token"]
    over = asyncio.Event()
    received: list[Any] = []
    with server(database, provider) as (url, _):
        async with program(url, token) as http:

            async def calls() -> None:
                while not over.is_set():
                    received.append(await http.post("/v1/chat/completions", json=QUESTION))

            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(calls())
                for _ in range(BREAKS):
                    await asyncio.sleep(0.5)
                    await asyncio.to_thread(hang_up, database)
                await asyncio.sleep(0.5)
                over.set()
    with database.connect() as connection:
        rows = connection.execute("SELECT id::text FROM usage_usagerecord").fetchall()
    served = {one.headers["x-byom-call-id"] for one in received if one.status_code == 200}
    told = sorted({one.status_code for one in received})
    print(f"\n{len(received)} answers, statuses {told}")
    assert served and served == {pk for (pk,) in rows}
    # Who needs the database just when a connection ends, with nothing sent, is asked to come again.
    assert set(told) <= {200, 503}
    said = "".join(log.read_text() for log in database.folder.glob("server-*.log"))
    assert "could not be written" not in said


@pytest.mark.integration
@pytest.mark.slow
async def test_connections_that_ended_cost_no_page(database: Database, provider: str) -> None:
    if not database.url.startswith("postgres"):
        pytest.skip("SQLite has no connections to lose")
    worked(database, "seed", "100000")
    told: list[int] = []
    with server(database, provider) as (url, _):
        async with program(url, "nobody") as http:
            for _ in range(BREAKS):
                paths = ["/accounts/login/", "/readyz"] * CALLERS
                pages = map(http.get, paths)
                told += [page.status_code for page in await asyncio.gather(*pages)]
                await asyncio.to_thread(hang_up, database)
    print(f"\n{len(told)} pages")
    assert told == [200] * (2 * CALLERS * BREAKS)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_can_not_be_reached_is_said_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def away(token: str) -> Any:
        raise OperationalError("connection to server at 10.0.0.7 failed")

    monkeypatch.setattr("gateway.app.guest_of", away)
    client = Client()
    run(client.post("byom_token", asking()))
    assert client.status == 503
    error = json.loads(client.received)["error"]
    assert (error["type"], error["code"]) == ("server_error", "database_away")
    assert "10.0.0.7" not in error["message"]
