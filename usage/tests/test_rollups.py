from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from usage import outbox
from usage.daily import EVERYONE, DailyUsage, Dimension, PendingRollup
from usage.histograms import bucket, percentiles
from usage.models import Status, UsageRecord
from usage.rollups import fold_ids, rebuild, roll_up
from usage.waiting import Waiting, waiting_of

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
DAY = date(2026, 3, 14)


def a_row(user: User | None, day: date = DAY, **fields: Any) -> UsageRecord:
    """A ledger row as if it had been written on that day."""
    values: dict[str, Any] = {
        "surface": "api", "provider": "openai", "model": "gpt-5-mini", "input_tokens": 100,
        "output_tokens": 10, "usage_source": "reported", "cost_usd": Decimal("0.5"),
        "latency_ms": 400.0, "ttft_ms": 90.0, "status": Status.OK, "paid_by": "user",
    }  # fmt: skip
    moment = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    with patch("django.utils.timezone.now", return_value=moment):
        return UsageRecord.objects.create(user=user, **values | fields)


def of(owner: int, dimension: Dimension = Dimension.ALL, day: date = DAY) -> DailyUsage:
    return DailyUsage.objects.get(owner=owner, dimension=dimension, day=day)


def snapshot() -> list[Any]:
    rows = DailyUsage.objects.order_by("owner", "dimension", "day", "value").values()
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


def test_a_row_counts_for_its_user_and_for_everyone(alice: User) -> None:
    a_row(alice)
    a_row(alice, status=Status.ERROR, cost_usd=0)

    assert roll_up() == 2
    for owner in (alice.pk, EVERYONE):
        for dimension in set(Dimension) - {Dimension.USER}:
            row = of(owner, dimension)
            assert (row.calls, row.failed, row.cost_usd) == (2, 1, Decimal("0.5"))
    assert of(EVERYONE, Dimension.USER).value == str(alice.pk)


def test_rows_are_counted_once_however_often_the_job_runs(alice: User) -> None:
    a_row(alice)
    roll_up()
    before = snapshot()

    assert roll_up() == 0
    assert snapshot() == before
    assert not PendingRollup.objects.exists()


def test_where_many_rows_wait_a_day_is_counted_at_a_time(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.rollups.BATCH", 2)
    for n in range(6):
        a_row(alice, DAY + timedelta(days=n % 2))

    assert roll_up() == 6
    assert of(alice.pk).calls == of(alice.pk, day=DAY + timedelta(days=1)).calls == 3


def test_what_is_written_while_the_job_works_waits_for_the_next_time(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(ids: Any) -> Any:
        a_row(alice)
        return fold_ids(ids)

    a_row(alice)
    monkeypatch.setattr("usage.rollups.fold_ids", meanwhile)

    assert roll_up() == 1
    assert PendingRollup.objects.count() == 1


def test_a_row_that_comes_late_is_counted_on_its_day(alice: User) -> None:
    a_row(alice, DAY + timedelta(days=1))
    roll_up()
    a_row(alice, DAY)
    roll_up()

    assert of(alice.pk).calls == of(alice.pk, day=DAY + timedelta(days=1)).calls == 1


def test_a_roll_up_that_is_rolled_back_counts_nothing_and_forgets_nothing(alice: User) -> None:
    a_row(alice)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        roll_up()
        raise ZeroDivisionError

    assert not DailyUsage.objects.exists()
    assert roll_up() == 1


def test_rows_written_in_bulk_are_noted_too(alice: User) -> None:
    row = a_row(alice)
    copies = [UsageRecord(**{**fields_of(row), "id": None}) for _ in range(3)]
    for copy in copies:
        copy.id = UsageRecord._meta.pk.get_default()
    UsageRecord.objects.bulk_create(copies)

    assert roll_up() == 4


def fields_of(row: UsageRecord) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in UsageRecord._meta.fields}


def test_what_was_tried_again_costs_and_is_no_call(alice: User) -> None:
    call = a_row(alice)
    a_row(alice, attempt_of=call.pk, status=Status.ERROR, cost_usd=Decimal("0.1"))
    roll_up()

    row = of(alice.pk)
    assert (row.calls, row.failed, row.cost_usd) == (1, 0, Decimal("0.6"))


def test_a_correction_counts_on_the_day_of_its_call_and_gives_it_a_price(alice: User) -> None:
    call = a_row(alice, cost_usd=None)
    roll_up()
    assert of(alice.pk).unpriced == 1
    for cost in ("0.7", "-0.2"):
        a_row(
            alice, DAY + timedelta(days=5), corrects=call, cost_usd=Decimal(cost),
            input_tokens=0, output_tokens=0,
        )  # fmt: skip
    roll_up()

    row = of(alice.pk)
    assert (row.calls, row.unpriced, row.cost_usd) == (1, 0, Decimal("0.5"))
    assert not DailyUsage.objects.filter(day=DAY + timedelta(days=5), calls__gt=0).exists()


def test_histograms_of_later_calls_are_added_to_those_stored(alice: User) -> None:
    times = [0.4, 1.0, 1.05, 90.0, 400.0, 400.0, 61_000.0]
    for batch in (times[:3], times[3:]):
        for milliseconds in batch:
            a_row(alice, latency_ms=milliseconds, ttft_ms=None)
        roll_up()

    assert of(alice.pk).latency == dict(Counter(map(bucket, times)))
    assert of(alice.pk).first_token == {}


def test_rows_that_another_process_counts_meanwhile_count_once(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(ids: Any) -> Any:
        PendingRollup.objects.all().delete()  # as the other process does, with its counting
        return fold_ids(ids)

    a_row(alice)
    monkeypatch.setattr("usage.rollups.fold_ids", slowly)
    roll_up()

    assert not DailyUsage.objects.exists()


def test_where_very_many_rows_wait_figures_say_that_they_lack_them(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        a_row(alice)
    assert waiting_of(alice.pk).cells[alice.pk, Dimension.ALL, DAY, ""].calls == 3

    monkeypatch.setattr("usage.waiting.MOST", 2)
    assert waiting_of(alice.pk) == Waiting(too_many=True)


def test_a_person_adds_waiting_rows_of_their_own_only(alice: User, bob: User) -> None:
    a_row(alice)
    a_row(bob)

    assert {owner for owner, *_ in waiting_of(alice.pk).cells} == {alice.pk}
    assert waiting_of(EVERYONE).cells[EVERYONE, Dimension.ALL, DAY, ""].calls == 2


def test_a_call_of_nobodys_counts_for_everyone_only() -> None:
    a_row(None)
    roll_up()

    assert set(DailyUsage.objects.values_list("owner", flat=True)) == {EVERYONE}


def test_rebuilding_comes_to_the_same_figures(alice: User, bob: User) -> None:
    chance = random.Random(7)
    rows = []
    for _ in range(40):
        rows.append(
            a_row(
                chance.choice([alice, bob, None]),
                DAY + timedelta(days=chance.randrange(3)),
                model=chance.choice("abc"),
                status=chance.choice(Status.values),
                latency_ms=chance.lognormvariate(6, 1),
                cost_usd=chance.choice([None, Decimal(1)]),
            )  # fmt: skip
        )
    a_row(alice, DAY + timedelta(days=2), corrects=rows[0], cost_usd=Decimal(2))
    roll_up()
    before = snapshot()
    DailyUsage.objects.update(calls=0, latency={})
    call_command("rebuild_rollups", stdout=StringIO())

    assert snapshot() == before


def test_rebuilding_leaves_waiting_rows_to_the_job(alice: User) -> None:
    a_row(alice)
    roll_up()
    a_row(alice)

    assert rebuild(DAY)
    assert of(alice.pk).calls == 1
    roll_up()
    assert of(alice.pk).calls == 2


def test_rebuilding_keeps_a_day_whose_rows_are_gone(alice: User) -> None:
    a_row(alice)
    roll_up()
    DailyUsage.objects.update(calls=5)

    assert not rebuild(DAY)
    assert of(alice.pk).calls == 5


def test_the_trigger_can_be_put_up_twice() -> None:
    outbox.install(connection)
    a_row(None)

    assert PendingRollup.objects.count() == 1


def test_percentiles_of_merged_histograms_are_within_five_percent() -> None:
    chance = random.Random(3)
    values = sorted(chance.lognormvariate(6, 0.8) for _ in range(2000))
    counts: dict[str, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1

    exact = [values[int(len(values) * percent / 100) - 1] for percent in (50, 95, 99)]
    assert list(percentiles(counts, 50, 95, 99)) == pytest.approx(exact, rel=0.05)


def test_nothing_measured_has_no_percentile() -> None:
    assert list(percentiles({}, 50, 95)) == [None, None]


def test_one_duration_is_every_percentile() -> None:
    p50, p99 = percentiles({"60": 1}, 50, 99)

    assert p50 == p99 == pytest.approx(1.1**59.5)
