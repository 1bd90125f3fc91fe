"""Thousands of hostile requests: none is a mistake of ours, none hangs, and nothing grows.

`BYOM_FUZZ=5000` says how many the short test sends, and how many thousand the long one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from benchmarks.simulator.server import SimulatorThread
from byom.tests.databases import Database
from byom.tests.live_server import serve
from credentials.limits import LocalBuckets, buckets
from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from gateway import selection
from gateway.speed.streams import memory_mb
from gateway.tests.attacks import Attack, attacks
from gateway.tests.conftest import started_before_the_database
from gateway.tests.own_servers import server, worked
from gateway.tests.sdks import Place
from gateway.tests.test_proofs_under_load import provider  # noqa: F401 - a fixture
from usage import leases
from usage.models import Budget, Reservation, UsageRecord

pytestmark = pytest.mark.integration
FEW = int(os.environ.get("BYOM_FUZZ", "100"))
MANY = int(os.environ.get("BYOM_FUZZ", "20000"))
PATIENCE = 20.0
MOST_GROWTH_MB = 12.0
SPARE = {"files": 3 * selection.THREADS}  # each thread may have opened its database by then


def attacked(place: Place, times: int) -> Counter[str]:
    """How many attacks got which status; an empty one where the server just hung up."""
    seen: Counter[str] = Counter()

    @given(attacks())
    @hypothesis_settings(
        max_examples=times, deadline=None, database=None, derandomize=times <= 1000,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    def one(attack: Attack) -> None:
        answer = attack.sent_to(place)
        status = answer[9:12].decode(errors="replace")
        seen[status] += 1
        assert b"HTTP/1.1 500" not in answer and b"HTTP/1.1 501" not in answer, answer[:2000]

    one()
    return seen


class Stand:
    """The product's server in a thread of this process, so that one can look into it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await started_before_the_database(scope, receive, send)

    def held(self) -> dict[str, int]:
        """All that a request could leave behind."""
        assert self.loop is not None
        local = buckets()
        assert isinstance(local, LocalBuckets)
        ours = {one.id for one in leases._leases.values()}
        return {
            "tasks": len(asyncio.all_tasks(self.loop)),
            "files": len(os.listdir("/proc/self/fd")),
            "threads": sum(not _comes_and_goes(each) for each in threading.enumerate()),
            "places": sum(map(len, local._places.values())),
            "promised": sum(one.out for one in leases._leases.values()),
            "reserved": Reservation.objects.exclude(call_id__in=ours).count(),
            "readings": len(selection._under_way),
        }


def grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [what for what, n in after.items() if n > before[what] + SPARE.get(what, 0)]


def _comes_and_goes(thread: threading.Thread) -> bool:
    return thread.name.startswith(("gateway-database", "ledger", "asyncio", "ThreadPool", "uvloop"))


@contextmanager
def _served(stand: Stand) -> Iterator[str]:
    with serve(stand) as url:
        yield url


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc")
def test_no_request_is_a_mistake_of_ours_and_none_leaves_anything_behind(
    simulator: SimulatorThread, alice: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {"calls": 0, "tokens": 0, "concurrent": 5}
    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, many)
    monkeypatch.setattr("agents.tries.RETRY_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("agents.breaker.FAILURES", 10**9)
    for each in ("openai", "anthropic", "google"):
        CredentialFactory.create(owner=alice, provider=each)
    Budget.objects.create(name="Lunch", user=alice, limit_units=10**15)
    token = AccessToken.issue(user=alice, name="program")[1]
    stand = Stand()

    with _served(stand) as url:
        attacked(Place(url, token), 20)
        before = stand.held()
        seen = attacked(Place(url, token), FEW)
        assert until(lambda: not grown(before, stand.held())), (before, stand.held())
        assert until(lambda: UsageRecord.objects.count() >= len(simulator.app.log))
        answered = UsageRecord.objects.exclude(status="cancelled")  # who left before it was sent
        assert answered.count() <= len(simulator.app.log)
    print(f"\n{dict(seen)}")
    assert seen["200"] > FEW / 20 and seen["400"] > FEW / 20, "too few got anywhere"


@pytest.mark.proof
@pytest.mark.slow
def test_a_worker_is_as_large_after_thousands_of_them(database: Database, provider: str) -> None:  # noqa: F811
    token = worked(database, "seed", "10000000")["token"]
    with server(database, provider) as (url, process):
        place, pid = Place(url, token), process.pid
        attacked(place, MANY // 4)
        files = Path(f"/proc/{pid}/fd")
        before = memory_mb(pid), len(list(files.iterdir()))
        began = time.monotonic()
        seen = attacked(place, MANY)
        took = time.monotonic() - began
        assert until(lambda: len(list(files.iterdir())) <= before[1] + SPARE["files"])
        after = memory_mb(pid), len(list(files.iterdir()))
    print(f"\n{MANY:,} requests in {took:.0f} s: {dict(seen)}; MB and files {before}, then {after}")
    assert after[0] - before[0] < MOST_GROWTH_MB
