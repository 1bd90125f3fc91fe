"""`manage.py verify_audit`: is the audit trail as it was written?"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from time import perf_counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credentials.chain import Head, verify


class Command(BaseCommand):
    help = "Walks the chain of the audit trail. Exit code 1 if it is broken, 2 if it can't tell."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--head", type=Path, help="a file that export_audit wrote, kept where nobody changes it"
        )

    def handle(self, *args: Any, head: Path | None, **options: Any) -> None:
        exported = _read(head) if head else None
        start = perf_counter()
        verdict = verify(exported)
        seconds = perf_counter() - start
        for flaw in verdict.flaws:
            self.stderr.write(str(flaw))
        if not verdict.is_whole:
            raise CommandError("The audit trail is not as it was written.", returncode=1)
        fits = f", and the head of {exported.time} is in it" if exported else ""
        self.stdout.write(
            f"The audit trail is whole{fits}: {verdict.checked:,} events in {seconds:.2f} s."
        )


def _read(path: Path) -> Head:
    try:
        return Head.read(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} can't be read: {error}", returncode=2) from None
