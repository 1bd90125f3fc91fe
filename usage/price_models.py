"""Prices that staff have entered: for local models, for contracts, for what is too new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from providers import registry
from providers.vocabulary import Usage
from usage.memory import Memory, forget_on_change, looks

MILLION = 1_000_000
_NOT_NEGATIVE = MinValueValidator(Decimal(0))


def _price(help_text: str = "", **options: Any) -> Any:
    return models.DecimalField(
        max_digits=12, decimal_places=6, validators=[_NOT_NEGATIVE], help_text=help_text, **options
    )


class PriceOverride(models.Model):
    """USD per million tokens, from a moment on until a later row begins. Goes before what the
    price package says. Where a price is left out, cached tokens cost as input and reasoning as
    output; long ones (above `long_above` input tokens) as all others.
    """

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128, help_text="As calls name it, letter for letter.")
    effective_from = models.DateTimeField(default=timezone.now)
    input_mtok = _price("US dollars per million tokens.")
    output_mtok = _price()
    cache_read_mtok = _price("Empty: as input.", null=True, blank=True)
    cache_write_mtok = _price("Empty: as input.", null=True, blank=True)
    reasoning_mtok = _price("Empty: as output.", null=True, blank=True)
    long_above = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Above so many input tokens the whole call costs the long prices.",
    )
    long_input_mtok = _price("Empty: as input.", null=True, blank=True)
    long_output_mtok = _price("Empty: as output.", null=True, blank=True)
    note = models.CharField(max_length=200, blank=True, help_text="Where the price is from.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["provider", "model", "-effective_from"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "model", "effective_from"], name="one_price_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{registry.label(self.provider)} {self.model}"

    @property
    def source(self) -> str:
        return f"entered, from {self.effective_from:%Y-%m-%d %H:%M} UTC"

    def units(self, usage: Usage) -> dict[str, Decimal]:
        """The prices that hold for a call of this size, by the ledger's names."""
        is_long = self.long_above is not None and usage.input_tokens > self.long_above
        plain, answer = self.input_mtok, self.output_mtok
        if is_long and self.long_input_mtok is not None:
            plain = self.long_input_mtok
        if is_long and self.long_output_mtok is not None:
            answer = self.long_output_mtok
        return {
            "input_mtok": plain,
            "output_mtok": answer,
            "cache_read_mtok": plain if self.cache_read_mtok is None else self.cache_read_mtok,
            "cache_write_mtok": plain if self.cache_write_mtok is None else self.cache_write_mtok,
            "reasoning_mtok": answer if self.reasoning_mtok is None else self.reasoning_mtok,
        }

    def cost(self, usage: Usage) -> Decimal:
        """Input includes both kinds of cache tokens, output includes reasoning."""
        price = self.units(usage)
        cached = usage.cache_read_tokens + usage.cache_write_tokens
        parts = {
            "input_mtok": max(0, usage.input_tokens - cached),
            "cache_read_mtok": usage.cache_read_tokens,
            "cache_write_mtok": usage.cache_write_tokens,
            "output_mtok": max(0, usage.output_tokens - usage.reasoning_tokens),
            "reasoning_mtok": usage.reasoning_tokens,
        }
        return sum((price[name] * n for name, n in parts.items()), Decimal(0)) / MILLION


def in_force(
    entered: Iterable[PriceOverride], provider: str, names: Sequence[str], at: datetime
) -> PriceOverride | None:
    """The latest that had begun at `at`, of the first of `names` that has one."""
    latest: dict[str, PriceOverride] = {}
    for row in entered:
        if row.provider == provider and row.model in names and row.effective_from <= at:
            latest[row.model] = row
    return next((latest[name] for name in names if name in latest), None)


_overrides: Memory[str, tuple[PriceOverride, ...]] = Memory()
_ALL = "all"
forget_on_change([_overrides], [PriceOverride])


def overrides() -> tuple[PriceOverride, ...]:
    """All that staff have entered, the latest last, as it was within the last second. Uses the
    database where nothing is remembered."""
    found = known_overrides()
    return read_overrides() if found is None else found


def read_overrides() -> tuple[PriceOverride, ...]:
    """The same for who may ask the database, which is looked at in any case."""
    looks.look()
    if (known := _overrides.known(_ALL)) is not None:
        return known
    age = _overrides.age
    found = tuple(PriceOverride.objects.order_by("effective_from", "pk"))
    _overrides.keep(_ALL, found, age)
    return found


def known_overrides() -> tuple[PriceOverride, ...] | None:
    """The same without the database; None if that has to be asked."""
    return _overrides.get(_ALL)


class PriceList(models.Model):
    """All prices of a moment, as `manage.py update_prices` has fetched them: JSON in the form of
    the `genai-prices` package, compressed. `package` is the version that was installed then."""

    fetched_at = models.DateTimeField(auto_now_add=True)
    origin = models.CharField(max_length=200, help_text="The address or the name of the file.")
    package = models.CharField(max_length=20)
    known_models = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.price_source

    @property
    def price_source(self) -> str:
        """As ledger rows keep it."""
        return f"genai-prices of {self.fetched_at:%Y-%m-%d %H:%M} UTC"
