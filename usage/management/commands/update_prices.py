"""`manage.py update_prices`: newer prices than those that were installed, or the installed ones."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from credentials.trail import Actor, acting
from providers.vocabulary import Usage
from usage import price_lists
from usage.daily import EVERYONE, DailyUsage, Dimension
from usage.price_lists import BadPrices, Prices
from usage.prices import Price, by_list

CALL = Usage(input_tokens=1_000, output_tokens=1_000)
LOOK_BACK = timedelta(days=90)


class Command(BaseCommand):
    help = (
        "Fetches current prices, checks them, tells what changes for the models in the ledger, and "
        "puts them into use in all processes within a minute. On any failure prices stay as they "
        "are. Calls of the past keep theirs: see reprice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        origin = parser.add_mutually_exclusive_group()
        origin.add_argument("--url", default=DEFAULT_UPDATE_URL, help="another place to fetch from")
        origin.add_argument("--file", type=Path, help="fetched elsewhere: for machines offline")
        origin.add_argument("--bundled", action="store_true", help="back to the package's own")
        parser.add_argument("--check", action="store_true", help="only tell what would change")
        parser.add_argument("--as", dest="actor", default="", metavar="USER", help="who you are")

    def handle(
        self, *args: Any, url: str, file: Path | None, bundled: bool, check: bool, **options: Any
    ) -> None:
        before = price_lists.current()
        try:
            text = None if bundled else file.read_bytes() if file else price_lists.download(url)
            after = _new(text)
        except (OSError, BadPrices) as error:
            raise CommandError(f"{error} Prices stay as they are ({before.source}).") from None
        origin = "the package" if bundled else file.name if file else _plain(url)
        self.stdout.write(f"{after.models:,} models from {origin}, {before.models:,} before.")
        for line in _changes(before, after):
            self.stdout.write(line)
        if not check:
            with acting(Actor.at_shell(options["actor"])):
                self.stdout.write(f"In use now: {price_lists.use(text, after, origin)}.")


def _new(text: bytes | None) -> Prices:
    if text is None:
        return price_lists.bundled()
    return price_lists.check(price_lists.parse(text))


def _plain(url: str) -> str:
    """Without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"


def _changes(before: Prices, after: Prices) -> Iterator[str]:
    """What a million tokens in and out of the models that were called of late cost."""
    since = timezone.now().date() - LOOK_BACK
    days = DailyUsage.objects.filter(owner=EVERYONE, dimension=Dimension.MODEL, day__gte=since)
    for value in days.order_by("value").values_list("value", flat=True).distinct():
        provider, _, model = value.partition(":")
        old, new = (
            by_list(prices, provider, [model], CALL, timezone.now()) for prices in (before, after)
        )
        if old.units != new.units:
            yield f"{provider} {model}: {_told(old)} -> {_told(new)}"


def _told(price: Price) -> str:
    parts = (f"{name.removesuffix('_mtok')} {value}" for name, value in price.units.items())
    return ", ".join(parts) or "no price"
