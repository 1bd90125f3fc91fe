"""A large ledger for `bench_usage`: 90 days of one busy person and of many others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from credentials.models import AccessToken, LLMCredential
from usage.models import Status, Surface, UsageRecord

DAYS = 90
MODELS = {
    "openai": ("gpt-5-mini", "gpt-4o-mini", "gpt-5"),
    "anthropic": ("claude-haiku-4-5", "claude-sonnet-4-5"),
    "google": ("gemini-2.5-flash", "gemini-2.5-pro"),
}
STATUSES = (*[Status.OK] * 95, *[Status.ERROR] * 3, *[Status.CANCELLED] * 2)
BATCH = 5000


@dataclass(frozen=True, slots=True)
class People:
    """One person with four fifths of the rows, who is staff, and others with the rest; and for
    each their keys by provider, and a token."""

    person: User
    others: list[User]
    keys: dict[Any, tuple[dict[str, Any], Any]]


def fill(rows: int, others: int) -> People:
    person = User.objects.create(username="bench", is_staff=True)
    crowd = User.objects.bulk_create(User(username=f"bench{n}") for n in range(others))
    people = People(person, crowd, {user.pk: keys_of(user) for user in [person, *crowd]})
    start = timezone.now().astimezone(UTC) - timedelta(days=DAYS - 1)
    moment = UsageRecord._meta.get_field("created_at")
    moment.auto_now_add = False  # these rows have times of their own
    UsageRecord.objects.bulk_create(made_rows(min(rows, BATCH), start, people))
    moment.auto_now_add = True
    with connection.cursor() as cursor:
        copy_rows(cursor, start, max(rows // BATCH, 1))
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")  # as it does by itself in time, and SQLite never
    return people


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
    keys: dict[str, Any] = {}
    for provider in MODELS:
        row = LLMCredential(owner=user, provider=provider, label="bench")
        row.set_api_key(f"sk-bench-{user.pk:08d}")
        row.save()
        keys[provider] = row.pk
    token, _ = AccessToken.issue(user=user, name="bench")
    return keys, token.pk


def made_rows(rows: int, start: datetime, people: People) -> Iterator[UsageRecord]:
    chance = random.Random(1)
    step = timedelta(days=DAYS - 1) / rows
    for number in range(rows):
        other = people.others and chance.random() < 0.2
        user = chance.choice(people.others) if other else people.person
        yield made_row(chance, user, people.keys[user.pk], start + step * number)


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
