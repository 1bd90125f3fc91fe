"""The list of prices in use: the one that `genai-prices` carries, or a newer one that staff have
fetched with `manage.py update_prices`.

A fetched list stands in the database, where all processes read it: at their first question, then
by a timer. It counts until the package itself is updated, which brings newer prices of its own.
"""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from importlib.metadata import version

import httpx2
from django.db import transaction
from django.utils import timezone
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import (  # how the package reads its own updates
    ModelInfo,
    _providers_from_raw,
)

from credentials import trail
from providers import registry
from usage.price_models import PriceList

logger = logging.getLogger(__name__)

PACKAGE = version("genai-prices")
MOST_FOUND = 10_000
MOST_BYTES = 20_000_000
TIMEOUT = httpx2.Timeout(30, connect=10)


@dataclass(frozen=True, slots=True)
class Prices:
    """A list in memory. `source` is kept with what was priced by it; `pk` is 0 of the bundle."""

    snapshot: DataSnapshot
    source: str
    pk: int = 0
    _found: dict[tuple[str, str], ModelInfo | None] = field(
        default_factory=dict, repr=False, compare=False
    )

    def model(self, pricing_id: str, name: str) -> ModelInfo | None:
        """The model of that name, None if it has no price here. Remembered: to find out that there
        is none takes the package half a millisecond each time."""
        key = pricing_id, name
        if key not in self._found:
            if len(self._found) >= MOST_FOUND:
                self._found.clear()
            self._found[key] = self._find(pricing_id, name)
        return self._found[key]

    def _find(self, pricing_id: str, name: str) -> ModelInfo | None:
        try:
            return self.snapshot.find_provider_model(name, None, pricing_id, None)[1]
        except LookupError:
            return None

    @property
    def models(self) -> int:
        return sum(len(provider.models) for provider in self.snapshot.providers)


class BadPrices(ValueError):
    """These prices are not taken: {why}."""

    def __init__(self, why: str) -> None:
        super().__init__((type(self).__doc__ or "").format(why=why))


class _InUse:
    prices: Prices | None = None
    was_read = False


@cache
def bundled() -> Prices:
    return Prices(get_snapshot(), f"genai-prices {PACKAGE}")


def held() -> Prices:
    """What this process prices by, without a look into the database."""
    return _InUse.prices or bundled()


def is_read() -> bool:
    """Whether `current` answers without the database."""
    return _InUse.was_read


def current() -> Prices:
    if not _InUse.was_read:
        refresh()
    return held()


def refresh() -> None:
    """Takes over what was fetched last, here or by another process. For a timer."""
    stored = PriceList.objects.filter(package=PACKAGE)
    newest = stored.values_list("pk", flat=True).first()
    if newest is None:
        _InUse.prices = None
    elif newest != held().pk:
        _InUse.prices = _loaded(stored.filter(pk=newest).first()) or _InUse.prices
    _InUse.was_read = True


def _loaded(row: PriceList | None) -> Prices | None:
    """None too where the row is damaged: a call is booked all the same."""
    if row is None:
        return None
    try:
        return Prices(parse(zlib.decompress(row.data)), row.price_source, row.pk)
    except (zlib.error, BadPrices):
        logger.exception("The list of prices of %s can't be read; it is not used.", row.fetched_at)
        return None


def download(url: str) -> bytes:
    """Raises BadPrices."""
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT) as response:
            if response.status_code != 200:
                raise BadPrices(f"the answer is {response.status_code}")
            return _bounded(response)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise BadPrices(f"they can't be fetched ({type(error).__name__})") from None


def _bounded(response: httpx2.Response) -> bytes:
    text = bytearray()
    for chunk in response.iter_bytes():
        text += chunk
        if len(text) > MOST_BYTES:
            raise BadPrices(f"they are larger than {MOST_BYTES:,} bytes")
    return bytes(text)


def parse(text: bytes) -> DataSnapshot:
    """Raises BadPrices."""
    try:
        raw = json.loads(text, parse_float=Decimal)
        if not isinstance(raw, list):
            raise BadPrices("they are no list of providers")
        return DataSnapshot(_providers_from_raw(raw), from_auto_update=True)
    except BadPrices:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise BadPrices(f"they are not in the package's form ({type(error).__name__})") from None


def check(found: DataSnapshot) -> Prices:
    """Prices that may be used, not stored yet. Raises BadPrices where they are cut off, or lack
    what everybody calls."""
    prices = Prices(found, "genai-prices, not stored yet")
    if prices.models < bundled().models // 2:
        raise BadPrices(f"they know {prices.models:,} models, and the package {bundled().models:,}")
    for name in registry.names():
        row = registry.get(name)
        if row.pricing_id and not _is_priced(found, row.pricing_id, row.default_model):
            raise BadPrices(f"{row.default_model} of {row.label} has no price")
    return prices


def _is_priced(found: DataSnapshot, pricing_id: str, model: str) -> bool:
    try:
        _, info = found.find_provider_model(model, None, pricing_id, None)
    except LookupError:
        return False
    prices = info.get_prices(timezone.now())
    return bool(prices.input_mtok and prices.output_mtok)


@transaction.atomic
def use(text: bytes | None, prices: Prices, origin: str) -> str:
    """Puts a list that was checked into use, everywhere, and notes who did so; the one before is
    gone. Without `text` it is the package's own. Returns what ledger rows will say of it."""
    PriceList.objects.all().delete()
    source = prices.source if text is None else _stored(text, prices, origin).price_source
    trail.record(trail.Action.PRICES, None, detail=f"{source}, from {origin}")
    return source


def _stored(text: bytes, prices: Prices, origin: str) -> PriceList:
    return PriceList.objects.create(
        origin=origin[:200],
        package=PACKAGE,
        known_models=prices.models,
        data=zlib.compress(text),
    )
