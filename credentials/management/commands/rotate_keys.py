"""`manage.py rotate_keys`: see docs/howto/rotate-encryption-keys.md."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from credentials.rotation import BATCH, Report, pending_by_key, rehearse, rotate
from credentials.trail import COMMAND_LINE, acting
from credentials.vault import BadKeyRing, ring

LINES = 20  # of progress, where there is no terminal


class Command(BaseCommand):
    help = (
        "Seals everything sealed (provider keys, tool servers' tokens) anew under the first key of "
        "the key ring. Can be interrupted and started again, and runs while people use the server."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="open all, write nothing")
        parser.add_argument(
            "--check", action="store_true", help="fail unless every row is on the current key"
        )
        parser.add_argument("--batch", type=int, default=BATCH, help="rows in one transaction")

    def handle(self, *args: Any, dry_run: bool, check: bool, batch: int, **options: Any) -> None:
        if batch < 1:
            raise CommandError("--batch must be 1 or more.")
        try:
            if check:
                self.check_rows()
            else:
                self.rotate(rehearse if dry_run else rotate, batch, dry_run)
        except BadKeyRing as error:
            raise CommandError(str(error)) from None

    def check_rows(self) -> None:
        counts = pending_by_key()
        for kid, count in counts.items():
            self.stdout.write(f"{kid or 'Fernet (imported)'}: {count}")
        if counts:
            raise CommandError(f"Not every key is sealed under {ring().current}. Run rotate_keys.")
        self.stdout.write(f"Every key is sealed under {ring().current}.")

    def rotate(self, work: Callable[..., Report], batch: int, dry_run: bool) -> None:
        with self.progress(sum(pending_by_key().values())) as progress, acting(COMMAND_LINE):
            report = work(batch=batch, progress=progress)
        verb = "could be" if dry_run else "were"
        self.stdout.write(f"{report.sealed} keys {verb} sealed under {ring().current}.")
        for pk, reason in report.unreadable.items():
            self.stderr.write(f"{pk}: {reason}")
        if not report.is_complete:
            raise CommandError(
                f"{len(report.unreadable)} keys can't be opened and were left as they are; "
                f"{report.busy} were in use all the time: run rotate_keys again for those."
            )

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int], None]]:
        """Yields what to call with the number of rows just done."""
        if self.stdout.isatty():
            columns = (TextColumn("sealing"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, TimeRemainingColumn()) as bar:
                task = bar.add_task("", total=total)
                yield lambda rows: bar.advance(task, rows)
        else:
            yield self.lines(total)

    def lines(self, total: int) -> Callable[[int], None]:
        done = 0

        def advance(rows: int) -> None:
            nonlocal done
            before, done = done, done + rows
            if rows and before * LINES // max(total, 1) < done * LINES // max(total, 1):
                self.stdout.write(f"{done} of {total}")
                self.stdout.flush()

        return advance
