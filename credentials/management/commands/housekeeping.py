"""`manage.py housekeeping`: for a daily or hourly timer. The server does the same by itself."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from credentials.lifecycle import housekeeping


class Command(BaseCommand):
    help = "Sends the expiry reminders that are due, purges keys deleted long enough ago."

    def handle(self, *args: Any, **options: Any) -> None:
        done = housekeeping()
        self.stdout.write(f"Reminders sent: {done['reminded']}. Keys purged: {done['purged']}.")
