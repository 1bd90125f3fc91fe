"""`manage.py rebuild_rollups`: daily usage made anew from the ledger, a day at a time."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand

from usage.rollups import days_of_ledger, rebuild, roll_up


class Command(BaseCommand):
    help = "Rebuilds the daily roll-ups from the ledger; safe while the server runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=date.fromisoformat, help="the first day (YYYY-MM-DD)")

    def handle(self, *args: Any, since: date | None, **options: Any) -> None:
        roll_up()
        days = [day for day in days_of_ledger() if since is None or day >= since]
        kept = [day for day in days if not rebuild(day)]
        self.stdout.write(f"{len(days) - len(kept)} days rebuilt.")
        for day in kept:
            self.stdout.write(f"{day}: kept, the ledger no longer has all of its calls.")
