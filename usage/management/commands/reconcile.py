"""`manage.py reconcile --provider openai --file costs.json`, or `--since 2026-11-01` to ask the
provider: the ledger beside a bill."""

from __future__ import annotations

import getpass
import sys
import uuid
from argparse import ArgumentParser
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from providers import registry
from usage.bills import Bill, UnreadableBill, read_bill, read_pages
from usage.cost_apis import COST_APIS, NoBill, fetch_costs
from usage.models import PaidBy, Reconciliation
from usage.reconciliation import reconcile


class Command(BaseCommand):
    help = (
        "Compares the ledger with a provider's costs by day and model: those in a file (JSON or "
        "CSV), or those that the provider's API tells. For the latter an administrator's key is "
        "asked for, or read from standard input; it is used for this run and kept nowhere."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        day = date.fromisoformat
        parser.add_argument("--provider", required=True, choices=registry.names())
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--file", type=Path, help="costs.json or costs.csv")
        source.add_argument("--since", type=day, help="ask the provider, from this day (UTC) on")
        parser.add_argument("--until", type=day, help="first day that is left out (today)")
        parser.add_argument("--url", default="", help="another server that speaks for the API")
        parser.add_argument("--paid-by", default="", choices=PaidBy.values)
        parser.add_argument("--credential", type=uuid.UUID, help="calls on this key only")

    def handle(self, *args: Any, **options: Any) -> None:
        scope = {"paid_by": options["paid_by"], "credential_id": options["credential"]}
        provider, path = options["provider"], options["file"]
        try:
            if path:
                bill = read_bill(provider, path.read_text(encoding="utf-8"))
                run = reconcile(provider=provider, bill=bill, source=path.name, **scope)
            else:
                bill, span = _asked(**options)
                run = reconcile(
                    provider=provider, bill=bill, source="the provider's API", span=span, **scope
                )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} can't be read: {type(error).__name__}.") from None
        except (UnreadableBill, NoBill) as error:
            raise CommandError(str(error)) from None
        self._tell(run)

    def _tell(self, run: Reconciliation) -> None:
        self._line("day", "model", "ours", "theirs", "drift")
        for row in run.rows.all():
            self._line(str(row.day), row.model, *_told(row.ours_usd, row.theirs_usd, row.drift))
        self._line("all", "", *_told(run.ours_usd, run.theirs_usd, run.drift))

    def _line(self, day: str, model: str, ours: str, theirs: str, drift: str) -> None:
        self.stdout.write(f"{day:<11}{model:<32}{ours:>14}{theirs:>14}{drift:>10}")


def _asked(
    *, provider: str, since: date, until: date | None, url: str, **_: Any
) -> tuple[Bill, tuple[date, date]]:
    """What the provider tells, and the first and last day of that."""
    if provider not in COST_APIS:
        raise CommandError(f"{registry.label(provider)} has no API for costs: give a --file.")
    end = until or datetime.now(UTC).date()
    if since >= end:
        raise CommandError("There is no whole day between --since and --until.")
    pages = fetch_costs(provider, _key(provider), since, end, url=url)
    return read_pages(provider, pages), (since, end - timedelta(days=1))


def _key(provider: str) -> str:
    """Typed unseen, or piped. Not an argument: other users of the machine see those."""
    if sys.stdin.isatty():
        return getpass.getpass(f"Administrator's key for {registry.label(provider)}: ").strip()
    return sys.stdin.readline().strip()


def _told(ours: Decimal, theirs: Decimal, drift: Decimal | None) -> tuple[str, str, str]:
    return f"${ours:.4f}", f"${theirs:.4f}", "n/a" if drift is None else f"{drift:+.2f}%"
