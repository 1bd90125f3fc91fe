"""What holds when it matters, shown on servers of their own: one is killed under load, two share
a budget. Real processes, databases and HTTP; only the provider is the simulator.

`pytest -s` prints what each saw.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from benchmarks.simulator.server import SimulatorProcess
from byom.tests.databases import PATIENCE, Database
from gateway.tests.own_servers import CALLS, program, server, worked
from gateway.tests.under_load import KINDS, PACE, QUESTION, TOKENS

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CLIENTS = 4  # of each kind
ANSWERS = 15  # of each kind, before the server is killed
ROOM = 10


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with SimulatorProcess(["--ttft-ms", "30", "--itl-ms", "0.2"]) as simulator:
        yield simulator.url


async def killed_under_load(
    url: str, token: str, process: subprocess.Popen[str], log: Path
) -> Counter[str]:
    """How many answers of each kind were received whole before the server was gone."""
    received: Counter[str] = Counter()
    with log.open("a", buffering=1) as file:

        def told(kind: str, call_id: str) -> None:
            file.write(call_id + "\n")
            received[kind] += 1
            if all(received[each] >= ANSWERS for each in KINDS):
                process.kill()

        async with program(url, token) as http:
            calls = [
                call(http, lambda call_id, kind=kind: told(kind, call_id))  # type: ignore[misc]
                for kind, call in KINDS.items()
                for _ in range(CLIENTS)
            ]
            async with asyncio.timeout(PATIENCE):
                ends = await asyncio.gather(*calls, return_exceptions=True)
    gone = [end for end in ends if isinstance(end, httpx2.TransportError)]
    assert gone == ends, "a call ended otherwise than by the server's death"
    return received


@pytest.mark.proof
async def test_a_server_killed_under_load_has_a_row_for_every_answer_that_was_received(
    database: Database, provider: str, tmp_path: Path
) -> None:
    token, log = worked(database, "seed", "100000")["token"], tmp_path / "received.log"
    with server(database, provider) as (url, process):
        received = await killed_under_load(url, token, process, log)
    with server(database, provider) as (url, _):  # it starts again, and all places are free
        answers = await at_once([url], token)
    found = worked(database, "verify", str(log))

    print(f"\nreceived {dict(received)}; then: {found}")
    assert answers == {200: CALLS}
    assert (found["without_row"], found["held"], found["reserved"], found["running"]) == (0,) * 4
    assert found["left"] > 0, "nothing was under way when it was killed: no proof"
    assert found["spent_as_the_ledger"]
    assert found["rows"] == found["rolled_up"] >= found["received"] + CALLS


@pytest.mark.proof
async def test_a_server_that_is_told_to_stop_finishes_what_it_has_begun(
    database: Database, provider: str, tmp_path: Path
) -> None:
    token, log = worked(database, "seed", "100000")["token"], tmp_path / "received.log"
    received: Counter[str] = Counter()
    with server(database, provider) as (url, process), log.open("a", buffering=1) as file:

        def told(kind: str, call_id: str) -> None:
            file.write(call_id + "\n")
            received[kind] += 1
            if all(received[each] >= ANSWERS for each in KINDS):
                process.terminate()

        async with program(url, token) as http, asyncio.timeout(PATIENCE):
            calls = [
                call(http, lambda call_id, kind=kind: told(kind, call_id))  # type: ignore[misc]
                for kind, call in KINDS.items()
                for _ in range(CLIENTS)
            ]
            ends = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.to_thread(process.wait, PATIENCE)
    found = worked(database, "verify", str(log))

    print(f"\nreceived {dict(received)}; then: {found}; ends {Counter(map(repr, ends))}")
    assert all(_never_began(end) for end in ends), "an answer was broken off"
    assert (found["without_row"], found["left"], found["reserved"], found["running"]) == (0,) * 4
    assert found["rows"] == found["received"]


def _never_began(end: object) -> bool:
    """Nobody listens any more, or the connection was closed while it was idle."""
    if isinstance(end, httpx2.RemoteProtocolError):
        return "without sending a response" in str(end)
    return isinstance(end, httpx2.ConnectError | httpx2.ReadError | httpx2.WriteError)


async def at_once(urls: list[str], token: str) -> Counter[int]:
    """CALLS calls, shared out among servers: how many ended with which status."""
    slowly = {**PACE, "x-sim-ttft-ms": "500"}
    async with program(urls[0], token) as http:
        calls = [
            http.post(f"{urls[n % len(urls)]}/v1/chat/completions", json=QUESTION, headers=slowly)
            for n in range(CALLS)
        ]
        answers = await asyncio.gather(*calls)
    served = [answer for answer in answers if answer.status_code == 200]
    assert all(answer.json()["usage"]["completion_tokens"] == TOKENS for answer in served)
    return Counter(answer.status_code for answer in answers)


async def test_64_calls_to_two_servers_get_no_further_than_a_budget_for_10(
    database: Database, provider: str, tmp_path: Path
) -> None:
    token, log = worked(database, "seed", str(ROOM))["token"], tmp_path / "received.log"
    log.touch()
    with server(database, provider) as (one, _), server(database, provider) as (two, _):
        answers = await at_once([one, two], token)
    found = worked(database, "verify", str(log))

    print(f"\nanswers {dict(answers)}; then: {found}")
    assert answers == {200: ROOM, 429: CALLS - ROOM}
    assert found["within_limit"] and found["spent_as_the_ledger"]
    assert (found["left"], found["held"], found["reserved"], found["rows"]) == (0, 0, 0, ROOM)
