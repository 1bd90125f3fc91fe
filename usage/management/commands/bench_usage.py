"""`manage.py bench_usage`: how fast usage answers over a large ledger.

The ledger is made in a database of its own, of the configured kind, which is dropped again.
"""

from __future__ import annotations

import random
import statistics
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter, thread_time
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone

from byom.throwaway import throwaway_database
from credentials.models import AccessToken, LLMCredential
from usage.forms import RecordsForm
from usage.models import Status, Surface, UsageRecord
from usage.paging import page_of
from usage.rollups import roll_up

DAYS = 90
MODELS = {
    "openai": ("gpt-5-mini", "gpt-4o-mini", "gpt-5"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-4-5"),
    "google": ("gemini-2.5-flash", "gemini-2.5-pro"),
}
STATUSES = (*[Status.OK] * 95, *[Status.ERROR] * 3, *[Status.CANCELLED] * 2)
BATCH = 5000


class Command(BaseCommand):
    help = "Makes a large ledger in a throwaway database and measures the pages and the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=1_000_000)
        parser.add_argument("--others", type=int, default=200, help="people with 20%% of the rows")
        parser.add_argument("--samples", type=int, default=9)

    def handle(self, *args: Any, rows: int, others: int, samples: int, **options: Any) -> None:
        with throwaway_database():
            person = self.timed("rows made", lambda: fill(rows, others))
            self.timed("rows rolled up", roll_up)
            self.stdout.write(f"{connection.vendor}: {rows:,} rows over {DAYS} days, medians")
            late = [self.measure(*case, samples) for case in cases(person)]
        if any(late):
            raise CommandError("A median is above its target. Is the machine busy?")

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
        self.stdout.write(f"{name:<28} {median:7.1f} ms, CPU {cpu:6.1f} (target {target:.0f})")
        return median > target


def fill(rows: int, others: int) -> User:
    """A person with four fifths of the rows, who is staff, and others with the rest."""
    person = User.objects.create(username="bench", is_staff=True)
    people = User.objects.bulk_create(User(username=f"bench{n}") for n in range(others))
    keys = {user.pk: keys_of(user) for user in [person, *people]}
    start = timezone.now().astimezone(UTC) - timedelta(days=DAYS - 1)
    moment = UsageRecord._meta.get_field("created_at")
    moment.auto_now_add = False  # these rows have times of their own
    UsageRecord.objects.bulk_create(made_rows(min(rows, BATCH), start, person, people, keys))
    moment.auto_now_add = True
    with connection.cursor() as cursor:
        copy_rows(cursor, start, max(rows // BATCH, 1))
        cursor.execute("ANALYZE")  # as the database does by itself in time
    return person


COPIED = {
    "sqlite": (
        "lower(hex(randomblob(16)))",
        "strftime('%%Y-%%m-%%d %%H:%%M:%%f', %s, '+' || (place * %s) || ' seconds') || '000'",
        "(julianday(created_at) - julianday(%s)) * 86400",
    ),
    "postgresql": (
        "gen_random_uuid()",
        "%s::timestamptz + place * %s * interval '1 second'",
        "extract(epoch FROM created_at - %s)::float",
    ),
}


def copy_rows(cursor: Any, start: datetime, times: int) -> None:
    """Makes the rows so many times more, in SQL: each time all of them, in their order, within
    the next short while. So they come by time, as in life, and every day has everybody's."""
    key, moment, place = COPIED[connection.vendor]
    names = [
        str(f.column) for f in UsageRecord._meta.fields if f.column not in ("id", "created_at")
    ]
    columns = ", ".join(connection.ops.quote_name(name) for name in names)
    if connection.vendor == "sqlite":
        cursor.execute("PRAGMA cache_size = -400000")  # for the copying only
    cursor.execute(
        f"CREATE TEMPORARY TABLE made AS SELECT *, {place} AS place FROM usage_usagerecord", [start]
    )
    cursor.execute("DELETE FROM usage_pendingrollup")
    cursor.execute("DELETE FROM usage_usagerecord")
    for number in range(times):
        begin = start + timedelta(days=DAYS - 1) / times * number
        cursor.execute(
            f"INSERT INTO usage_usagerecord (id, created_at, {columns}) "
            f"SELECT {key}, {moment}, {columns} FROM made ORDER BY place",
            [begin if connection.vendor == "postgresql" else f"{begin:%F %T}", 1 / times],
        )
    if connection.vendor == "sqlite":
        cursor.execute("PRAGMA cache_size = -2000")


def keys_of(user: User) -> tuple[dict[str, Any], Any]:
    keys = {}
    for provider in MODELS:
        row = LLMCredential(owner=user, provider=provider, label="bench")
        row.set_api_key(f"sk-bench-{user.pk:08d}")
        row.save()
        keys[provider] = row.pk
    token, _ = AccessToken.issue(user=user, name="bench")
    return keys, token.pk


def made_rows(
    rows: int, start: datetime, person: User, people: list[User], keys: dict[Any, Any]
) -> Iterator[UsageRecord]:
    chance = random.Random(1)
    step = timedelta(days=DAYS - 1) / rows
    for number in range(rows):
        user = chance.choice(people) if people and chance.random() < 0.2 else person
        yield made_row(chance, user, keys[user.pk], start + step * number)


def made_row(chance: random.Random, user: User, keys: Any, moment: datetime) -> UsageRecord:
    credentials, token = keys
    provider = chance.choice(list(MODELS))
    latency = chance.lognormvariate(7, 0.7)
    surface = chance.choice([Surface.AGENT, Surface.API, Surface.GATEWAY, Surface.BENCHMARK])
    system = chance.random() < 0.1
    return UsageRecord(
        user_id=user.pk,
        credential_id=None if system else credentials[provider],
        access_token_id=token if surface in (Surface.API, Surface.GATEWAY) else None,
        surface=surface,
        provider=provider,
        model=chance.choice(MODELS[provider]),
        input_tokens=chance.randrange(50, 4000),
        output_tokens=chance.randrange(10, 800),
        usage_source="reported",
        cost_usd=Decimal(chance.randrange(1000, 9_000_000)).scaleb(-9),
        latency_ms=latency,
        ttft_ms=latency / 4,
        status=chance.choice(STATUSES),
        paid_by="system" if system else "user",
        created_at=moment,
    )


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
