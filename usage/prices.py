"""What a call costs, in USD: by what staff have entered, else by the list of prices in use, which
is the one that the `genai-prices` package carries offline unless staff have fetched a newer one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import genai_prices
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from providers import registry
from providers.vocabulary import Usage
from usage.price_lists import Prices, current
from usage.price_models import PriceOverride, in_force, overrides
from usage.tariffs import UNITS, Tariff, tariff

PRECISION = Decimal("1e-9")  # what the ledger's column holds
HOUR = "cache_write_1h_mtok"
BATCH = {"processing": "batch"}  # a price context: half price, where a provider has it


class Price(NamedTuple):
    """`cost` is None where no price is known. `units` are USD per million tokens."""

    cost: Decimal | None
    units: dict[str, str]
    source: str


UNKNOWN = Price(None, {}, "")
FREE = Price(Decimal(0), {}, "free of charge")


class Listed(NamedTuple):
    """A model on a list of prices. `fixed` is its tariff if that is the same at any time."""

    model: ModelInfo
    source: str
    fixed: Tariff | None

    def price(self, usage: Usage, at: datetime) -> Price | None:
        """None where it has to be worked out: where tokens don't cost what they usually do, or the
        more there are the more each costs, or counts contradict each other."""
        if usage.service_tier or usage.cache_write_1h_tokens:
            return None
        by = self.fixed or tariff(self.model.get_prices(at))
        if by is None or usage.cache_read_tokens + usage.cache_write_tokens > usage.input_tokens:
            return None
        return Price(by.cost(usage).quantize(PRECISION), by.units, self.source)

    def most(self, most: Usage, at: datetime) -> Decimal | None:
        """As `most_that_it_costs`: reasoning costs as output here. None as above."""
        if most.service_tier or most.cache_write_1h_tokens:
            return None
        by = self.fixed or tariff(self.model.get_prices(at))
        if by is None:
            return None
        cost = most.input_tokens * by.dearest_input + most.output_tokens * by.output
        return cost.quantize(PRECISION)


def price_of(
    *,
    provider: str,
    models: Iterable[str],
    usage: Usage,
    at: datetime,
    context: dict[str, str] | None = None,
    entered: Sequence[PriceOverride] | None = None,
) -> Price:
    """The price of `usage` at the prices in force at `at`, by the first of `models` (the one
    that served, then the one asked for) that has a price; UNKNOWN if none has. Uses the database
    if it is not given what staff have `entered`."""
    rows = overrides() if entered is None else entered
    if rows:
        models = [model for model in models if model]
        if override := in_force(rows, provider, models, at):
            return _by_override(override, usage)
    return by_list(current(), provider, models, usage, at, context)


def by_list(
    prices: Prices,
    provider: str,
    names: Iterable[str],
    usage: Usage,
    at: datetime,
    context: dict[str, str] | None = None,
) -> Price:
    """By this list, whatever staff have entered."""
    pricing_id = registry.get(provider).pricing_id
    if pricing_id is None:
        return UNKNOWN
    for model in names:
        if not model or (found := prices.model(pricing_id, model)) is None:
            continue
        price = None if context else Listed(found, prices.source, None).price(usage, at)
        price = price or _calculate(prices, pricing_id, model, usage, at, context)
        if price is not None:
            return price
    return UNKNOWN


def most_that_it_costs(
    provider: str,
    model: str,
    most: Usage,
    at: datetime,
    entered: Sequence[PriceOverride] | None = None,
) -> Decimal | None:
    """The price of `most` where that is dearest: its input plain or all of it written to a cache,
    its output plain or all of it reasoning. None if no price is known."""
    written = most._replace(cache_write_tokens=most.input_tokens)
    kinds = [most._replace(cache_write_1h_tokens=0), written]
    kinds += [usage._replace(reasoning_tokens=most.output_tokens) for usage in kinds]
    found = (
        price_of(provider=provider, models=[model], usage=kind, at=at, entered=entered).cost
        for kind in kinds
    )
    return max((cost for cost in found if cost is not None), default=None)


def listed(provider: str, model: str) -> Listed | None:
    """The model on the list in use, if it is there."""
    pricing_id, prices = registry.get(provider).pricing_id, current()
    found = prices.model(pricing_id, model) if pricing_id else None
    if found is None:
        return None
    fixed = tariff(found.prices) if isinstance(found.prices, ModelPrice) else None
    return Listed(found, prices.source, fixed)


def _by_override(override: PriceOverride, usage: Usage) -> Price:
    units = {name: f"{price.normalize():f}" for name, price in override.units(usage).items()}
    return Price(override.cost(usage).quantize(PRECISION), units, override.source)


def _calculate(
    prices: Prices,
    pricing_id: str,
    model: str,
    usage: Usage,
    at: datetime,
    context: dict[str, str] | None,
) -> Price | None:
    try:
        found = prices.snapshot.calc(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                cache_write_1h_tokens=usage.cache_write_1h_tokens,
            ),
            model,
            provider_id=pricing_id,
            provider_api_url=None,
            genai_request_timestamp=at,
            price_context={**_context(usage), **(context or {})},
        )
    except (LookupError, ValueError):
        return None
    names = (*UNITS, HOUR) if usage.cache_write_1h_tokens else UNITS
    units = {name: getattr(found.model_price, name, None) for name in names}
    return Price(
        cost=found.total_price.quantize(PRECISION),
        units={n: str(_rate(p, usage)) for n, p in units.items() if p is not None},
        source=prices.source,
    )


def _context(usage: Usage) -> dict[str, str]:
    """OpenAI and Google call it a tier, Anthropic a speed; a name that has no price of its own
    costs as usual."""
    tier = usage.service_tier
    return {"service_tier": tier, "speed": tier} if tier else {}


def _rate(price: Decimal | TieredPrices, usage: Usage) -> Decimal:
    """Above a tier's start, all tokens of a call cost the tier's price."""
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if usage.input_tokens > tier.start]
    return reached[-1] if reached else price.base
