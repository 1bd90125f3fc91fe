from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.utils import timezone
from rest_framework.test import APIClient

from credentials.tests.factories import UserFactory
from usage.charts import deltas
from usage.export import safe
from usage.models import Status, UsageRecord
from usage.paging import Cursor, page_of
from usage.rollups import roll_up
from usage.summary import Period, totals_of
from usage.tests.test_rollups import DAY, a_row

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SUMMARY = "/api/v1/usage/summary"
RECORDS = "/api/v1/usage/records"
MARCH = {"from": "2026-03-01", "to": "2026-03-31"}


@pytest.fixture
def member(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(UserFactory.create(username="sam", is_staff=True))
    return client


def text_of(response: Any) -> str:
    return str(response.content.decode())


def test_a_summary_is_the_same_before_and_after_the_roll_up(alice: User, api: APIClient) -> None:
    for n in range(4):
        a_row(alice, DAY + timedelta(days=n % 2), model=f"m{n % 3}")
    for group_by in ("day", "provider", "model", "credential", "surface", "token"):
        question = {**MARCH, "group_by": group_by, "compare": "previous"}
        waiting = api.get(SUMMARY, question).json()
        roll_up()
        assert api.get(SUMMARY, question).json() == waiting
        assert waiting["total"]["calls"] == sum(g["calls"] for g in waiting["groups"]) == 4


def test_figures_that_lack_rows_say_so(
    alice: User, api: APIClient, member: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack = "these figures lack them"
    a_row(alice)
    assert api.get(SUMMARY).json()["is_complete"]
    assert lack not in text_of(member.get("/usage/"))

    monkeypatch.setattr("usage.waiting.MOST", 0)
    assert not api.get(SUMMARY).json()["is_complete"]
    assert lack in text_of(member.get("/usage/"))


def test_a_summary_compares_with_as_many_days_before(alice: User, api: APIClient) -> None:
    a_row(alice, DAY)
    a_row(alice, DAY - timedelta(days=7), cost_usd=Decimal("0.25"))
    question = {"from": "2026-03-12", "to": "2026-03-18", "compare": "previous"}
    body = api.get(SUMMARY, question).json()

    assert body["previous"]["from"] == "2026-03-05" and body["previous"]["to"] == "2026-03-11"
    assert Decimal(body["total"]["cost_usd"]) == Decimal("0.5")
    assert Decimal(body["previous"]["total"]["cost_usd"]) == Decimal("0.25")
    assert body["paid_by"]["user"]["calls"] == 1
    assert body["total"]["latency_p50_ms"] == pytest.approx(400, rel=0.05)


def test_a_cancelled_call_is_no_failure(alice: User, api: APIClient) -> None:
    for status in (Status.OK, Status.ERROR, Status.CANCELLED):
        a_row(alice, status=status)

    assert api.get(SUMMARY, MARCH).json()["total"]["success_rate"] == 0.5


@pytest.mark.parametrize(
    "question",
    [
        {"from": "soon"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "1990-01-01"},
        {"group_by": "weather"},
        {"group_by": "user"},
        {"everyone": "true"},
    ],
)
def test_a_summary_refuses_what_makes_no_sense(api: APIClient, question: dict[str, str]) -> None:
    assert api.get(SUMMARY, question).status_code == 400


def test_only_staff_see_everyone(alice: User, member: Client, staff: Client) -> None:
    a_row(alice)

    assert staff.get(SUMMARY, MARCH).json()["total"]["calls"] == 0
    assert staff.get(SUMMARY, {**MARCH, "everyone": "true"}).json()["total"]["calls"] == 1
    by_user = staff.get(SUMMARY, {**MARCH, "group_by": "user"}).json()
    assert [group["label"] for group in by_user["groups"]] == ["alice"]
    assert "gpt-5-mini" in text_of(staff.get("/usage/", {**MARCH, "everyone": "on"}))
    assert "gpt-5-mini" in text_of(staff.get("/usage/records/", {"everyone": "on"}))
    assert "gpt-5-mini" not in text_of(staff.get("/usage/records/"))
    assert "Only staff" in text_of(member.get("/usage/records/?everyone=on"))


def test_home_totals_are_those_of_all_rows(alice: User) -> None:
    a_row(alice, cost_usd=None)
    roll_up()
    a_row(alice, status=Status.ERROR)

    totals = totals_of(alice.pk)
    assert (totals.calls, totals.failed, totals.unpriced) == (2, 1, 1)


def test_pages_of_records_meet_without_gap_or_repeat(alice: User, api: APIClient) -> None:
    for n in range(7):
        a_row(alice, DAY + timedelta(days=n // 4))  # the same moment several times
    seen, address = [], f"{RECORDS}?limit=3"
    while address:
        page = api.get(address).json()
        seen += [row["id"] for row in page["results"]]
        back, address = page["previous"], page["next"]

    assert seen == [str(pk) for pk in UsageRecord.objects.values_list("pk", flat=True)]
    assert [row["id"] for row in api.get(back).json()["results"]] == seen[3:6]


def test_new_rows_shift_no_page(alice: User) -> None:
    for n in range(4):
        a_row(alice, DAY + timedelta(days=n))
    rows = UsageRecord.objects.visible_to(alice)
    first = page_of(rows, None, 2)
    a_row(alice, DAY + timedelta(days=9))

    assert first.older is not None
    second = page_of(rows, Cursor.parse(str(first.older)), 2)
    assert [row.created_at.date() for row in second.rows] == [DAY + timedelta(days=1), DAY]
    assert second.older is None


@pytest.mark.parametrize("cursor", ["x", "o1-2", "o20260101T000000.000000-zz", "%00", "o"])
def test_a_bad_cursor_is_refused(api: APIClient, member: Client, cursor: str) -> None:
    assert api.get(RECORDS, {"cursor": cursor}).status_code == 400
    assert member.get("/usage/records/", {"cursor": cursor}).status_code == 404


def test_records_are_filtered(alice: User, api: APIClient) -> None:
    a_row(alice, model="wanted", status=Status.ERROR, surface="gateway")
    a_row(alice, DAY + timedelta(days=1), provider="anthropic")
    for question in (
        {"model": "wanted"},
        {"status": "error"},
        {"surface": "gateway"},
        {"provider": "openai"},
        {"to": "2026-03-14"},
    ):
        assert [row["model"] for row in api.get(RECORDS, question).json()["results"]] == ["wanted"]
    assert len(api.get(RECORDS, {"from": "2026-03-15"}).json()["results"]) == 1
    assert api.get(RECORDS, {"status": "lost"}).status_code == 400


def test_a_call_shows_its_tries_and_corrections(alice: User, member: Client) -> None:
    call = a_row(alice)
    a_row(alice, attempt_of=call.pk, status=Status.ERROR, error_code="overloaded")
    fix = a_row(alice, corrects=call, cost_usd=Decimal("-0.1"))
    page = text_of(member.get(f"/usage/records/{call.pk}/"))

    assert "Failed: overloaded" in page and "Corrections" in page
    assert f"/usage/records/{call.pk}/" in text_of(member.get(f"/usage/records/{fix.pk}/"))


def test_a_period_without_calls_says_so(alice: User, member: Client) -> None:
    a_row(alice)

    assert "No calls in this period" in text_of(member.get("/usage/?from=2020-01-01&to=2020-01-31"))


def test_the_page_carries_its_charts_data_and_a_table(alice: User, member: Client) -> None:
    a_row(alice)
    page = text_of(member.get("/usage/", MARCH))

    data = json.loads(
        page.split('<script id="chart-data" type="application/json">')[1].split("<")[0]
    )
    assert len(data["days"]) == 31
    assert data["cost"] == [
        {"label": "OpenAI", "values": [0.5 if d == "2026-03-14" else 0.0 for d in data["days"]]}
    ]
    assert "2026-03-14</th>" in page


def test_a_change_is_told_only_where_there_was_something(alice: User) -> None:
    a_row(alice)
    one = totals_of(alice.pk)
    a_row(alice)

    assert deltas(totals_of(alice.pk), one)["cost"] == "+100%"
    assert deltas(one, totals_of(alice.pk))["calls"] == "−50%"
    for _ in range(10):
        a_row(alice)
    assert deltas(totals_of(alice.pk), one)["calls"] == "12 times"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\n=1"])
def test_cells_that_look_like_formulas_are_led_by_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe(Decimal("-1.5")) == Decimal("-1.5")


async def body_of(response: Any) -> str:
    assert isinstance(response.streaming_content, AsyncIterator)
    return b"".join([part async for part in response.streaming_content]).decode()


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("batch", [1, 2000])
async def test_exports_hold_every_row_and_stream(monkeypatch: Any, batch: int) -> None:
    monkeypatch.setattr("usage.export.BATCH", batch)
    alice = await sync_to_async(UserFactory.create)(username="alice")
    await sync_to_async(a_row)(alice, model="=HYPERLINK()")
    await sync_to_async(a_row)(alice, DAY + timedelta(days=1))
    await sync_to_async(a_row)(None)
    client = AsyncClient()
    await client.aforce_login(alice)

    table = list(csv.DictReader(io.StringIO(await body_of(await client.get("/usage/export.csv")))))
    assert [row["model"] for row in table] == ["gpt-5-mini", "'=HYPERLINK()"]
    lines = (await body_of(await client.get("/usage/export.jsonl?model=gpt-5-mini"))).splitlines()
    assert [json.loads(line)["cost_usd"] for line in lines] == ["0.500000000"]


def test_a_period_before_has_as_many_days() -> None:
    period = Period(date(2026, 3, 1), date(2026, 3, 31))

    assert period.previous == Period(date(2026, 1, 29), date(2026, 2, 28))
    assert len(period.previous.days) == len(period.days)


def test_without_dates_the_page_shows_thirty_days(alice: User, member: Client) -> None:
    a_row(alice, timezone.now().date())

    assert member.get("/usage/").context["totals"].calls == 1
    assert len(member.get("/usage/?days=7").context["period"].days) == 7
