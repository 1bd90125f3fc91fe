"""`manage.py bench_usage`: how fast usage answers over a large ledger.

The ledger is made in a database of its own, of the configured kind, which is dropped again.
"""

from __future__ import annotations

import statistics
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import perf_counter, thread_time
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone

from byom.throwaway import throwaway_database
from usage.forms import RecordsForm
from usage.paging import page_of
from usage.rollups import roll_up
from usage.speed.lag import lags
from usage.speed.ledger import DAYS, People, fill

LONGEST_LAG = 5.0


class Command(BaseCommand):
    help = "Makes a large ledger in a throwaway database and measures the pages and the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000)
        parser.add_argument("--others", type=int, default=200, help="people with 20%% of the rows")
        parser.add_argument("--samples", type=int, default=9)
        parser.add_argument("--writes", type=int, default=200, help="rows per second, for the lag")
        parser.add_argument("--seconds", type=float, default=20, help="of writing, for the lag")

    def handle(self, *args: Any, rows: int, others: int, samples: int, **options: Any) -> None:
        with throwaway_database():
            people = self.timed("rows made", lambda: fill(rows, others))
            self.timed("rows rolled up", roll_up)
            self.stdout.write(f"{connection.vendor}: {rows:,} rows over {DAYS} days, medians")
            late = [self.measure(*case, samples) for case in cases(people.person)]
            late.append(self.measure_lag(people, options["writes"], options["seconds"]))
        if any(late):
            raise CommandError("A median is above its target. Is the machine busy?")

    def measure_lag(self, people: People, rate: int, seconds: float) -> bool:
        found = lags(people, rate, seconds)
        name, most = f"roll-up lag at {rate} rows/s", max(found)
        median = statistics.median(found)
        self.stdout.write(
            f"{name:<34} {median:7.1f} s, most {most:.1f} s (target {LONGEST_LAG:.0f})"
        )
        return most > LONGEST_LAG

    def timed(self, what: str, work: Callable[[], Any]) -> Any:
        start = perf_counter()
        found = work()
        self.stdout.write(f"{what}: {perf_counter() - start:.1f} s")
        return found

    def measure(self, name: str, work: Callable[[], Any], target: float, samples: int) -> bool:
        """Prints the median; returns whether it is above the target (ms).

        The CPU time of this thread tells a slow page from a busy machine.
        """
        work()
        taken, busy = [], []
        for _ in range(samples):
            start, start_cpu = perf_counter(), thread_time()
            work()
            busy.append((thread_time() - start_cpu) * 1000)
            taken.append((perf_counter() - start) * 1000)
        median, cpu = statistics.median(taken), statistics.median(busy)
        self.stdout.write(f"{name:<34} {median:7.1f} ms, CPU {cpu:6.1f} (target {target:.0f})")
        return median > target


def cases(person: User) -> Iterator[tuple[str, Callable[[], Any], float]]:
    """(name, one request, the most milliseconds that its median may take)."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    hundredth = cursor_of_page(person, 100)

    def get(address: str) -> Callable[[], Any]:
        return lambda: answered(client, address)

    yield "home", get("/"), 200
    yield "dashboard, 30 days", get("/usage/"), 200
    yield "dashboard, 90 days", get("/usage/?days=90"), 200
    yield "dashboard, 90 days, everyone", get("/usage/?days=90&everyone=on"), 200
    yield "records, page 1", get("/usage/records/"), 100
    yield "records, page 100", get(f"/usage/records/?cursor={hundredth}"), 100
    yield "records, failed only", get("/usage/records/?status=error"), 100
    start = (timezone.now() - timedelta(days=DAYS - 1)).date()
    some, none = "provider=google&model=gemini-2.5-pro&status=error", "model=nobody-used-it"
    for whose in ("", "&everyone=on"):
        name = "records, everyone" if whose else "records"
        yield f"{name}, by three filters", get(f"/usage/records/?{some}{whose}"), 100
        yield f"{name}, of the first days", get(f"/usage/records/?to={start}{whose}"), 100
        # Nothing to find: all of the index is read, or all of the table.
        yield f"{name}, no such model", get(f"/usage/records/?{none}{whose}"), 500
    for group_by in ("day", "model", "credential"):
        address = f"/api/v1/usage/summary?from={start}&group_by={group_by}&compare=previous"
        yield f"summary API by {group_by}", get(address), 150


def answered(client: Client, address: str) -> None:
    response = client.get(address)
    if response.status_code != 200:
        raise CommandError(f"{address} answered {response.status_code}.")


def cursor_of_page(person: User, number: int) -> str:
    """Where the page begins, by turning pages as a reader would."""
    cursor = None
    for _ in range(number - 1):
        page = page_of(RecordsForm({}, user=person).records(), cursor, 50)
        cursor = page.older or cursor
    return str(cursor)
