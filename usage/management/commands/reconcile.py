"""`manage.py reconcile --provider openai --file costs.json`: the ledger beside a bill."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from providers import registry
from usage.bills import UnreadableBill, read_bill
from usage.models import PaidBy
from usage.reconciliation import reconcile


class Command(BaseCommand):
    help = "Compares the ledger with a provider's costs (JSON or CSV) by day and model."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--provider", required=True, choices=registry.names())
        parser.add_argument("--file", required=True, type=Path, help="costs.json or costs.csv")
        parser.add_argument("--paid-by", default="", choices=PaidBy.values)
        parser.add_argument("--credential", type=uuid.UUID, help="calls on this key only")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            bill = read_bill(options["provider"], path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} can't be read: {type(error).__name__}.") from None
        except UnreadableBill as error:
            raise CommandError(str(error)) from None
        run = reconcile(
            provider=options["provider"],
            bill=bill,
            source=path.name,
            paid_by=options["paid_by"],
            credential_id=options["credential"],
        )
        self._line("day", "model", "ours", "theirs", "drift")
        for row in run.rows.all():
            self._line(str(row.day), row.model, *_told(row.ours_usd, row.theirs_usd, row.drift))
        self._line("all", "", *_told(run.ours_usd, run.theirs_usd, run.drift))

    def _line(self, day: str, model: str, ours: str, theirs: str, drift: str) -> None:
        self.stdout.write(f"{day:<11}{model:<32}{ours:>14}{theirs:>14}{drift:>10}")


def _told(ours: Decimal, theirs: Decimal, drift: Decimal | None) -> tuple[str, str, str]:
    return f"${ours:.4f}", f"${theirs:.4f}", "n/a" if drift is None else f"{drift:+.2f}%"
