from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from providers.vocabulary import Usage
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall, receipt
from usage.models import Immutable, Status, Surface, UsageRecord, UsageSource
from usage.prices import UNKNOWN, price_of
from usage.repricing import changes
from usage.summary import totals_of

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/usage/records"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def settled(user: User | None, model: str = "gpt-4o-mini") -> UsageRecord:
    payer = Payer(provider="openai", model=model, paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=user.pk if user else None), payer))
    call.first_token()
    tokens = Usage(input_tokens=1000, output_tokens=500)
    return call.settle(status=Status.OK, usage=tokens, usage_source=UsageSource.REPORTED)


def test_a_row_keeps_the_prices_it_was_settled_at(alice: User) -> None:
    record = settled(alice)

    # 1,000 input tokens at $0.15 and 500 output tokens at $0.60 a million
    assert record.cost_usd == Decimal("0.00045")
    assert record.unit_prices["input_mtok"] == "0.15"
    assert record.price_source.startswith("genai-prices")
    assert record.ttft_ms is not None and record.ttft_ms <= record.latency_ms


def test_a_call_that_was_tried_twice_has_two_rows_and_counts_once(alice: User) -> None:
    payer = Payer(provider="openai", model="gpt-4o-mini", paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=alice.pk), payer))
    earlier = OpenCall(Account(call.caller, payer), attempt_of=call.id)
    end: Any = {"usage": Usage(), "usage_source": UsageSource.ESTIMATED}
    earlier.settle(status=Status.ERROR, error_code="overloaded", **end)
    record = call.settle(status=Status.OK, **end)

    assert UsageRecord.objects.get(attempt_of=record.pk).error_code == "overloaded"
    totals = totals_of(alice.pk)
    assert (totals.calls, totals.failed) == (1, 0)


def test_a_row_keeps_its_tier_and_what_was_written_for_an_hour(alice: User) -> None:
    payer = Payer(provider="anthropic", model="claude-opus-4-8", paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=alice.pk), payer))
    usage = Usage(
        input_tokens=1_000,
        cache_write_tokens=1_000,
        cache_write_1h_tokens=600,
        service_tier="fast",
    )
    call.settle(status=Status.OK, usage=usage, usage_source=UsageSource.REPORTED)
    row = UsageRecord.objects.get()

    assert (row.service_tier, row.cache_write_1h_tokens) == ("fast", 600)
    assert row.cost_usd == Decimal("0.017")  # 400 at $12.50 and 600 at $20 a million
    assert row.unit_prices["cache_write_1h_mtok"] == "20"
    assert not list(changes(UsageRecord.objects.all()))  # repricing knows as much


def test_cached_tokens_cost_their_own_price() -> None:
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=400_000)
    price = price_of(provider="openai", models=["gpt-4o-mini"], usage=usage, at=AT)

    # 600,000 at $0.15 and 400,000 at $0.075 a million
    assert price.cost == Decimal("0.12")


def test_an_unknown_price_is_null_and_not_zero(alice: User) -> None:
    record = settled(alice, model="gpt-of-the-future-9")

    assert record.cost_usd is None
    assert receipt(record).cost_usd is None
    assert totals_of(alice.pk).unpriced == 1


def test_the_model_asked_for_prices_a_call_whose_served_name_has_no_price() -> None:
    usage = Usage(input_tokens=1_000_000)
    price = price_of(provider="openai", models=["odd-name", "gpt-4o-mini"], usage=usage, at=AT)

    assert price.cost == Decimal("0.15")


def test_a_server_of_ones_own_has_no_price() -> None:
    usage = Usage(input_tokens=10)

    assert price_of(provider="openai_compatible", models=["x"], usage=usage, at=AT) == UNKNOWN


def test_people_see_their_own_calls_only(api: APIClient, alice: User, bob: User) -> None:
    mine, theirs = settled(alice), settled(bob)

    assert [row["id"] for row in api.get(URL).json()["results"]] == [str(mine.pk)]
    assert api.get(f"{URL}/{mine.pk}").status_code == 200
    assert api.get(f"{URL}/{theirs.pk}").status_code == 404


def test_a_record_has_the_promised_fields(api: APIClient, alice: User) -> None:
    settled(alice)
    row = api.get(URL).json()["results"][0]

    assert {
        "id", "surface", "provider", "model", "input_tokens", "output_tokens", "cost_usd",
        "latency_ms", "ttft_ms", "status", "paid_by", "created_at",
    } <= row.keys()  # fmt: skip
    assert row["cost_usd"] == "0.000450000"


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
def test_nobody_changes_the_ledger(api: APIClient, alice: User, verb: str) -> None:
    record = settled(alice)

    for url in (URL, f"{URL}/{record.pk}"):
        assert getattr(api, verb)(url, {}, format="json").status_code == 405


def test_totals_add_up(alice: User) -> None:
    settled(alice)
    settled(alice)
    totals = totals_of(alice.pk)

    assert (totals.calls, totals.input_tokens, totals.output_tokens) == (2, 2000, 1000)
    assert totals.cost_usd == Decimal("0.0009")


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.save(),
        lambda row: row.delete(),
        lambda row: UsageRecord.objects.update(cost_usd=0),
        lambda row: UsageRecord.objects.filter(pk=row.pk).delete(),
        lambda row: UsageRecord.objects.bulk_update([row], ["cost_usd"]),
    ],
)
def test_a_row_is_never_changed(alice: User, change: Any) -> None:
    row = settled(alice)
    before = UsageRecord.objects.values().get()

    with pytest.raises(Immutable):
        change(row)
    assert UsageRecord.objects.values().get() == before


def test_rows_outlive_their_person(alice: User) -> None:
    settled(alice)
    alice.delete()

    assert UsageRecord.objects.get().user_id is None
