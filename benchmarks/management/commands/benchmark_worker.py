"""`manage.py benchmark_worker RUN`: one of the processes of `benchmark --workers N`."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from benchmarks.execution import execute
from byom.logging import warnings_only


class Command(BaseCommand):
    help = "Carries out shards of a benchmark run that nobody has in hand; benchmark starts it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=uuid.UUID)

    def handle(self, *args: Any, run: uuid.UUID, **options: Any) -> None:
        with warnings_only("usage.calls"):
            execute(run)
