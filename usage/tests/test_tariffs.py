"""The formula beside the package that it is taken from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from providers import registry
from providers.vocabulary import Usage
from usage.prices import PRECISION, listed, most_that_it_costs
from usage.tariffs import tariff

NOW = datetime(2026, 11, 1, tzinfo=UTC)
USAGES = (
    Usage(),
    Usage(input_tokens=1, output_tokens=1),
    Usage(input_tokens=14, output_tokens=20),
    Usage(input_tokens=1_000, output_tokens=333, cache_read_tokens=700, cache_write_tokens=300),
    Usage(input_tokens=250_001, output_tokens=64_000, cache_read_tokens=9, reasoning_tokens=999),
)


def models() -> Iterator[tuple[str, str, ModelPrice]]:
    """Every model of the providers of ours that has prices."""
    ids = {registry.get(name).pricing_id for name in registry.names()}
    for provider in get_snapshot().providers:
        if provider.id in ids:
            for model in provider.models:
                yield provider.id, model.id, model.get_prices(NOW)


def test_a_formula_comes_to_what_the_package_works_out() -> None:
    compared = 0
    for provider, model, prices in models():
        by = tariff(prices)
        for usage in USAGES if by else ():
            counts = {
                name: getattr(usage, name)
                for name in (
                    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"
                )
            }  # fmt: skip
            theirs = prices.calc_price(genai_prices.Usage(**counts))["total_price"]
            assert by is not None
            ours = by.cost(usage)
            assert ours.quantize(PRECISION) == theirs.quantize(PRECISION), (provider, model, usage)
            compared += 1
    assert compared > 300


def test_prices_with_tiers_have_no_formula() -> None:
    tiered = [model for _, model, prices in models() if tariff(prices) is None]
    assert "gemini-2.5-pro" in tiered


def test_counts_that_contradict_each_other_are_left_to_the_package() -> None:
    usage = Usage(input_tokens=10, cache_read_tokens=20)
    found = listed("openai", "gpt-4o-mini")
    assert found and found.price(usage, NOW) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gpt-5", "o3", "claude-haiku-4-5", "gemini-2.5-flash"]
)
def test_the_most_that_a_call_costs_is_the_same_by_the_formula(model: str) -> None:
    provider = registry.provider_for_model(model) or ""
    most = Usage(input_tokens=12_345, output_tokens=678)

    found = listed(provider, model)
    quick = found and found.most(most, NOW)
    assert quick == most_that_it_costs(provider, model, most, NOW)
    assert quick and quick > Decimal(0)
