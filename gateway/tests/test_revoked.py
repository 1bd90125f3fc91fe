"""What is revoked at one worker is refused by all of them: two processes, one database.

`pytest -s` prints after how long each of them refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from time import monotonic

import httpx2
import pytest

from benchmarks.simulator.server import SimulatorProcess
from byom.tests.databases import PATIENCE, Database
from gateway.tests.own_servers import program, server, worked
from gateway.tests.under_load import QUESTION
from usage.memory import SECONDS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

A_LITTLE = 0.5  # seconds that a busy machine may be late
WARM = 1.5 * SECONDS  # what was remembered at first has been read anew since
STEP = 0.01  # between two calls: dense enough to see a second, and leaves the machine some time


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with SimulatorProcess(["--ttft-ms", "1", "--itl-ms", "0"]) as simulator:
        yield simulator.url


class Caller:
    """A program that calls one worker again and again, until it is refused."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.since = monotonic()
        self.served = 0
        self.last_served_begun = 0.0

    async def run(self) -> httpx2.Response:
        while True:
            begun = monotonic()
            answer = await self.http.post("/v1/chat/completions", json=QUESTION)
            if answer.status_code != 200:
                return answer
            self.served, self.last_served_begun = self.served + 1, begun
            await asyncio.sleep(STEP)

    async def is_warm(self) -> None:
        while self.served < 10 or monotonic() - self.since < WARM:
            await asyncio.sleep(STEP)


async def revoked(
    urls: tuple[str, str], token: str, revoke: Callable[[], Awaitable[httpx2.Response]]
) -> tuple[list[httpx2.Response], list[float]]:
    """How each worker refused, and how long after the revocation it began its last served call."""
    async with program(urls[0], token) as one, program(urls[1], token) as two:
        callers = [Caller(one), Caller(two)]
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            calling = [group.create_task(caller.run()) for caller in callers]
            await asyncio.gather(*(caller.is_warm() for caller in callers))
            gone = await revoke()
            done = monotonic()
    assert gone.status_code == 204
    answers = [call.result() for call in calling]
    return answers, [max(0.0, caller.last_served_begun - done) for caller in callers]


REVOKED = {
    "access-tokens/{token_id}": (401, "authentication_failed"),
    "llm-credentials/{credential_id}": (403, "credential_inactive"),
}


async def test_what_is_revoked_at_one_worker_is_refused_by_both_within_a_second(
    database: Database, provider: str
) -> None:
    keeper = worked(database, "seed", "100000")["token"]
    with server(database, provider) as (one, _), server(database, provider) as (two, _):
        for address, refusal in REVOKED.items():
            pinned = worked(database, "pin", "openai")
            async with program(one, keeper) as owner:
                what = f"/api/v1/users/me/{address.format(**pinned)}"
                answers, seconds = await revoked(
                    (one, two), pinned["token"], partial(owner.delete, what)
                )
            print(f"\nserved for {seconds[0]:.3f} s there, {seconds[1]:.3f} s elsewhere: {what}")
            told = [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]
            assert told == [refusal, refusal]
            assert seconds[0] <= A_LITTLE, "the worker that revoked it forgets at once"
            assert seconds[1] <= SECONDS + A_LITTLE
