"""What the prices of one model come to, as a formula.

`genai-prices` works a call out from its units anew each time, which takes 130 µs: half of what the
gateway may spend on a call. Where no price has tiers the result is a sum of tokens times prices,
so the package is asked once what each kind of token costs. A test compares the two over all models
that the providers have.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices

from providers.vocabulary import Usage
from usage.memory import ByIdentity

UNITS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok")
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tariff:
    """USD per token of each kind; `units` are the prices per million by the ledger's names."""

    plain: Decimal
    cache_read: Decimal
    cache_write: Decimal
    output: Decimal
    units: dict[str, str]
    dearest_input: Decimal  # plain, or written to a cache

    def cost(self, usage: Usage) -> Decimal:
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        if not (read or written):
            return usage.input_tokens * self.plain + usage.output_tokens * self.output
        return (
            (usage.input_tokens - read - written) * self.plain
            + read * self.cache_read
            + written * self.cache_write
            + usage.output_tokens * self.output
        )


def _worked_out(prices: ModelPrice) -> Tariff | None:
    """None where the price of a token depends on how many there are."""
    units = {name: getattr(prices, name, None) for name in UNITS}
    if any(isinstance(value, TieredPrices) for value in vars(prices).values()):
        return None

    def each(**tokens: int) -> Decimal:
        return prices.calc_price(genai_prices.Usage(**tokens))["total_price"] / MILLION

    try:
        plain = each(input_tokens=MILLION)
        written = each(input_tokens=MILLION, cache_write_tokens=MILLION)
        return Tariff(
            plain=plain,
            cache_read=each(input_tokens=MILLION, cache_read_tokens=MILLION),
            cache_write=written,
            output=each(output_tokens=MILLION),
            units={name: str(price) for name, price in units.items() if price is not None},
            dearest_input=max(plain, written),
        )
    except (LookupError, ValueError):
        return None


tariff = ByIdentity(_worked_out)
