"""`manage.py export_audit head.json`: the chain's last link, to be kept on another machine."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credentials.chain import export_events, export_head


class Command(BaseCommand):
    help = "Writes the head of the audit trail, which `verify_audit --head` compares with later."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="where to write the head (JSON, mode 0600)")
        parser.add_argument("--events", type=Path, help="write all events too, as JSON lines")

    def handle(self, *args: Any, file: Path, events: Path | None, **options: Any) -> None:
        try:
            head = export_head(file)
            if events:
                export_events(events, head)
        except OSError as error:
            raise CommandError(f"The trail can't be written: {error}") from None
        self.stdout.write(f"Event {head.position:,} is the last. Keep {file} on another machine.")
