"""What a call costs, in USD, by the prices that the `genai-prices` package carries offline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version

import genai_prices

from providers import registry
from providers.vocabulary import Usage

SOURCE = f"genai-prices {version('genai-prices')}"
PRECISION = Decimal("1e-9")  # what the ledger's column holds
UNITS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")


@dataclass(frozen=True, slots=True)
class Price:
    """`cost` is None where no price is known. `units` are USD per million tokens."""

    cost: Decimal | None = None
    units: dict[str, str] = field(default_factory=dict)
    source: str = ""


UNKNOWN = Price()
FREE = Price(cost=Decimal(0), source="free of charge")


def price_of(*, provider: str, models: Iterable[str], usage: Usage, at: datetime) -> Price:
    """The price of `usage` at the prices in force at `at`, by the first of `models` (the one
    that served, then the one asked for) that has a price; UNKNOWN if none has."""
    pricing_id = registry.get(provider).pricing_id
    if pricing_id is None:
        return UNKNOWN
    found = (_calculate(pricing_id, model, usage, at) for model in models if model)
    return next((price for price in found if price is not None), UNKNOWN)


def most_that_it_costs(provider: str, model: str, most: Usage, at: datetime) -> Decimal | None:
    """The price of `most`, none of it from a cache, or all of it written to one where that costs
    more. None if no price is known."""
    written = replace(most, cache_write_tokens=most.input_tokens)
    found = (price_of(provider=provider, models=[model], usage=u, at=at) for u in (most, written))
    return max((price.cost for price in found if price.cost is not None), default=None)


def _calculate(pricing_id: str, model: str, usage: Usage, at: datetime) -> Price | None:
    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            ),
            model,
            provider_id=pricing_id,
            genai_request_timestamp=at,
        )
    except (LookupError, ValueError):
        return None
    prices = {name: getattr(found.model_price, name, None) for name in UNITS}
    return Price(
        cost=found.total_price.quantize(PRECISION),
        units={name: str(price) for name, price in prices.items() if price is not None},
        source=SOURCE,
    )
