"""`manage.py reprice --since 2026-11-01 --dry-run`: corrections for calls that were booked without
a price, or with one that was not right."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand

from credentials.trail import Actor, acting
from usage.models import UsageQuerySet, UsageRecord
from usage.repricing import Change, book, changes


class Command(BaseCommand):
    help = (
        "Books corrections where calls cost something else at the prices known now. No row is "
        "changed; each correction is a row of its own. Running it twice books nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        day = date.fromisoformat
        parser.add_argument("--since", type=day, required=True, help="first day, UTC (YYYY-MM-DD)")
        parser.add_argument("--until", type=day, help="first day that is left out")
        parser.add_argument("--provider")
        parser.add_argument("--model", help="as the call named it")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be booked")
        parser.add_argument("--as", dest="actor", default="", metavar="USER", help="who you are")

    def handle(self, *args: Any, dry_run: bool, actor: str, **options: Any) -> None:
        found = changes(_rows(**options))
        if dry_run:
            self._tell(found, "would be booked", told=True)
            return
        with acting(Actor.at_shell(actor)):
            self._tell(book(found), "booked", told=options["verbosity"] > 1)

    def _tell(self, changes: Iterator[Change], verb: str, *, told: bool) -> None:
        count, total = 0, Decimal(0)
        for change in changes:
            count, total = count + 1, total + change.difference
            if told:
                self.stdout.write(_line(change))
        self.stdout.write(f"{count} corrections {verb}, {total:+f} USD in all.")


def _rows(
    *, since: date, until: date | None, provider: str | None, model: str | None, **_: Any
) -> UsageQuerySet:
    rows = UsageRecord.objects.filter(created_at__gte=_midnight(since))
    if until:
        rows = rows.filter(created_at__lt=_midnight(until))
    if provider:
        rows = rows.filter(provider=provider)
    return rows.filter(model=model) if model else rows


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _line(change: Change) -> str:
    record = change.record
    before = "no price" if change.booked is None else f"{change.booked:f}"
    moment = f"{record.created_at:%Y-%m-%d %H:%M}"
    return (
        f"{record.pk} {moment} {record.provider} {record.model}: "
        f"{before} -> {change.price.cost:f} ({change.price.source})"
    )
