"""`manage.py housekeeping`: every periodic job, once. The server does the same by itself."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from byom.housekeeping import run_job


class Command(BaseCommand):
    help = "Runs every periodic job once: reminders, purges and what else is due."

    def handle(self, *args: Any, **options: Any) -> None:
        for path in settings.PERIODIC_JOBS:
            self.stdout.write(f"{path}: {_said(run_job(path))}")


def _said(done: Any) -> str:
    if isinstance(done, dict):
        return ", ".join(f"{name} {count}" for name, count in done.items())
    return "done" if done is None else str(done)
