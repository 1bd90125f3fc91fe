"""What calls cost, against sums done by hand: tokens × dollars per million, written out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credentials.tests.factories import UserFactory
from providers.vocabulary import Usage
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall
from usage.models import PriceOverride, Status, Surface, UsageRecord, UsageSource
from usage.prices import BATCH, price_of

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
M = 1_000_000
NOW = datetime(2026, 11, 1, tzinfo=UTC)
OPENAI, ANTHROPIC, GOOGLE = "openai", "anthropic", "google"
MINI, SONNET, PRO, OLD_PRO = "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "gemini-1.5-pro"


def tokens(
    i: int = 0, o: int = 0, read: int = 0, write: int = 0, thought: int = 0, **more: Any
) -> Usage:
    return Usage(
        input_tokens=i,
        output_tokens=o,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=thought,
        **more,
    )


def cost(provider: str, model: str, usage: Usage, at: datetime = NOW, **more: Any) -> D | None:
    return price_of(provider=provider, models=[model], usage=usage, at=at, **more).cost


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected"),
    [
        # plain
        (OPENAI, MINI, tokens(M), D("0.15")),
        (OPENAI, MINI, tokens(0, M), D("0.60")),
        (OPENAI, MINI, tokens(1, 0), D("0.00000015")),
        (OPENAI, MINI, tokens(1_234, 567), D("0.0005253")),  # 0.0001851 + 0.0003402
        (OPENAI, MINI, tokens(), D(0)),
        (OPENAI, "gpt-5", tokens(M, M), D("11.25")),
        (OPENAI, "o3", tokens(1_000, 1_000), D("0.010")),  # 0.002 + 0.008
        (ANTHROPIC, "claude-haiku-4-5", tokens(M, M), D("6")),
        (ANTHROPIC, "claude-opus-4-1", tokens(1_000, 1_000), D("0.090")),
        (GOOGLE, "gemini-2.5-flash", tokens(M, M), D("2.80")),
        # read from a cache
        (OPENAI, MINI, tokens(M, 0, read=400_000), D("0.12")),  # 0.09 + 0.03
        (OPENAI, MINI, tokens(M, 0, read=M), D("0.075")),
        (OPENAI, "gpt-5", tokens(M, 0, read=250_000), D("0.96875")),  # 0.9375 + 0.03125
        (OPENAI, "o3", tokens(2_000, 0, read=1_000), D("0.0025")),  # 0.002 + 0.0005
        (ANTHROPIC, "claude-haiku-4-5", tokens(M, 0, read=500_000), D("0.55")),
        (ANTHROPIC, SONNET, tokens(100_000, 0, read=60_000), D("0.138")),  # 0.12 + 0.018
        (GOOGLE, "gemini-2.5-flash", tokens(M, 0, read=500_000), D("0.165")),
        (GOOGLE, PRO, tokens(100_000, 0, read=100_000), D("0.0125")),
        # written to a cache
        (ANTHROPIC, "claude-haiku-4-5", tokens(M, 0, write=M), D("1.25")),
        (ANTHROPIC, SONNET, tokens(100_000, 0, write=40_000), D("0.33")),  # 0.18 + 0.15
        # 30,000 plain, 50,000 read and 20,000 written: 0.09 + 0.015 + 0.075
        (ANTHROPIC, SONNET, tokens(100_000, 0, read=50_000, write=20_000), D("0.18")),
        (ANTHROPIC, "claude-opus-4-1", tokens(1_000, 0, read=500, write=500), D("0.010125")),
        # of what is written 400,000 are kept for an hour, at twice the input: 0.75 + 0.8
        (
            ANTHROPIC,
            "claude-haiku-4-5",
            tokens(M, write=M, cache_write_1h_tokens=400_000),
            D("1.55"),
        ),
        (ANTHROPIC, SONNET, tokens(1_000, write=1_000, cache_write_1h_tokens=1_000), D("0.006")),
        # no price of their own elsewhere: as usual
        (OPENAI, MINI, tokens(M, cache_write_1h_tokens=0, service_tier="scale"), D("0.15")),
        # other tiers, on 1 November 2026: flex is half, priority and fast are dearer
        (OPENAI, "gpt-5", tokens(M, M, service_tier="flex"), D("5.625")),
        (OPENAI, "gpt-4.1", tokens(M, M, service_tier="priority"), D("17.5")),  # 3.5 + 14
        (ANTHROPIC, "claude-opus-4-8", tokens(M, M, service_tier="fast"), D("60")),  # 10 + 50
        # reasoning is part of the output
        (OPENAI, "o3", tokens(0, 1_000, thought=900), D("0.008")),
        (OPENAI, "gpt-5", tokens(0, 2_000, thought=2_000), D("0.02")),
        (GOOGLE, PRO, tokens(0, 1_000, thought=600), D("0.01")),
        # the tier above 128,000 input tokens: of all tokens, not only of those above
        (GOOGLE, OLD_PRO, tokens(128_000, 1_000), D("0.165")),  # 0.16 + 0.005
        (GOOGLE, OLD_PRO, tokens(128_001, 1_000), D("0.3300025")),  # 0.3200025 + 0.01
        (GOOGLE, "gemini-1.5-flash", tokens(128_000, 1_000), D("0.0099")),  # 0.0096 + 0.0003
        (GOOGLE, "gemini-1.5-flash", tokens(128_001, 1_000), D("0.01980015")),
        # the tier above 200,000
        (GOOGLE, PRO, tokens(200_000, 1_000), D("0.26")),  # 0.25 + 0.01
        (GOOGLE, PRO, tokens(200_001, 1_000), D("0.5150025")),  # 0.5000025 + 0.015
        (ANTHROPIC, SONNET, tokens(200_000, 1_000), D("0.615")),  # 0.6 + 0.015
        (ANTHROPIC, SONNET, tokens(200_001, 1_000), D("1.222506")),  # 1.200006 + 0.0225
        # a long call's cached tokens: 100,001 × 6 + 100,000 × 0.6
        (ANTHROPIC, SONNET, tokens(200_001, 0, read=100_000), D("0.660006")),
        # nobody knows
        (OPENAI, "gpt-of-the-future-9", tokens(M), None),
        (ANTHROPIC, MINI, tokens(M), None),
        ("openai_compatible", "llama-at-home", tokens(M), None),
    ],
)
def test_a_call_costs_what_the_sum_by_hand_says(
    provider: str, model: str, usage: Usage, expected: D | None
) -> None:
    assert cost(provider, model, usage) == expected


@pytest.mark.parametrize(
    ("provider", "model", "usage", "expected"),
    [
        (ANTHROPIC, "claude-haiku-4-5", tokens(M, M), D("3")),
        (ANTHROPIC, "claude-haiku-4-5", tokens(M, 0, read=M), D("0.05")),
    ],
)
def test_a_batch_is_half_the_price(provider: str, model: str, usage: Usage, expected: D) -> None:
    assert cost(provider, model, usage, context=BATCH) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2025, 6, 9, tzinfo=UTC), D("0.050")),  # $10 and $40 a million
        (datetime(2025, 6, 11, tzinfo=UTC), D("0.010")),  # $2 and $8
    ],
)
def test_the_price_of_the_day_holds(at: datetime, expected: D) -> None:
    assert cost(OPENAI, "o3", tokens(1_000, 1_000), at) == expected


def entered(**fields: Any) -> PriceOverride:
    values = {
        "provider": "openai_compatible", "model": "llama", "input_mtok": D(1), "output_mtok": D(2),
        "effective_from": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return PriceOverride.objects.create(**values | fields)


@pytest.mark.parametrize(
    ("fields", "usage", "expected"),
    [
        ({}, tokens(1_000, 1_000), D("0.003")),
        ({}, tokens(1_000, 1_000, read=500, write=500, thought=500), D("0.003")),
        ({"cache_read_mtok": D("0.1")}, tokens(1_000, 0, read=600), D("0.00046")),
        ({"cache_write_mtok": D("1.5")}, tokens(1_000, 0, write=600), D("0.0013")),
        ({"reasoning_mtok": D(4)}, tokens(0, 1_000, thought=600), D("0.0032")),
        ({"long_above": 128_000, "long_input_mtok": D(3)}, tokens(128_000), D("0.128")),
        ({"long_above": 128_000, "long_input_mtok": D(3)}, tokens(128_001), D("0.384003")),
        ({"long_above": 10, "long_output_mtok": D(9)}, tokens(11, 1_000), D("0.009011")),
        ({"input_mtok": D(0), "output_mtok": D(0)}, tokens(M, M), D(0)),
    ],
)
def test_an_entered_price_holds_for_a_local_model(
    fields: dict[str, Any], usage: Usage, expected: D
) -> None:
    entered(**fields)

    assert cost("openai_compatible", "llama", usage) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), D("0.15")),  # the package's
        (datetime(2026, 1, 1, tzinfo=UTC), D(1)),
        (datetime(2026, 5, 31, 23, 59, tzinfo=UTC), D(1)),
        (datetime(2026, 6, 1, tzinfo=UTC), D(5)),
    ],
)
def test_an_entered_price_goes_first_from_its_moment_on(at: datetime, expected: D) -> None:
    entered(provider=OPENAI, model=MINI)
    entered(
        provider=OPENAI,
        model=MINI,
        input_mtok=D(5),
        effective_from=datetime(2026, 6, 1, tzinfo=UTC),
    )

    assert cost(OPENAI, MINI, tokens(M), at) == expected


def test_a_row_keeps_the_prices_of_its_tier_and_where_they_are_from() -> None:
    found = price_of(provider=GOOGLE, models=[PRO], usage=tokens(200_001), at=NOW)
    assert (found.units["input_mtok"], found.units["output_mtok"]) == ("2.5", "15")
    assert found.source.startswith("genai-prices ")

    entered()
    found = price_of(
        provider="openai_compatible", models=["served", "llama"], usage=tokens(1), at=NOW
    )
    assert found.units["input_mtok"] == "1"
    assert found.source == "entered, from 2026-01-01 00:00 UTC"


@pytest.fixture
def unpriced(alice: User) -> UsageRecord:
    payer = Payer(provider=OPENAI, model="odd-model", paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=alice.pk), payer))
    return call.settle(status=Status.OK, usage=tokens(M), usage_source=UsageSource.REPORTED)


def test_staff_see_which_models_have_no_price_and_can_enter_it(unpriced: UsageRecord) -> None:
    client = Client()
    client.force_login(UserFactory.create(username="root", is_staff=True, is_superuser=True))
    page = client.get("/admin/usage/priceoverride/no-price/").content.decode()

    assert "odd-model" in page
    assert "Enter a price" in page
    assert client.get("/admin/usage/priceoverride/").status_code == 200
    form = client.get("/admin/usage/priceoverride/add/?provider=openai&model=odd-model")
    assert 'value="odd-model"' in form.content.decode()


def test_staff_without_the_permission_do_not_see_that_list(unpriced: UsageRecord) -> None:
    client = Client()
    client.force_login(UserFactory.create(username="sam", is_staff=True))

    assert client.get("/admin/usage/priceoverride/no-price/").status_code == 403
