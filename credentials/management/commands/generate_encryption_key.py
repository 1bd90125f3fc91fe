"""`manage.py generate_encryption_key --kid k2`: one row for BYOM_ENCRYPTION_KEYS."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Collection
from itertools import count
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credentials.vault import BadKeyRing, new_key, ring


class Command(BaseCommand):
    help = "Prints a new encryption key as one row for the key ring. It is stored nowhere."
    requires_system_checks = ()  # a ring that can't be used is a reason to want a key

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--kid", help="its name; the next free k1, k2, … unless given")

    def handle(self, *args: Any, kid: str | None, **options: Any) -> None:
        taken = _kids_on_the_ring()
        if kid in taken:
            raise CommandError(f"{kid} is on the key ring already. A new key needs a new name.")
        try:
            self.stdout.write(new_key(kid or _next_kid(taken)))
        except BadKeyRing as error:
            raise CommandError(str(error)) from None


def _kids_on_the_ring() -> Collection[str]:
    try:
        return ring().keys
    except BadKeyRing:
        return ()


def _next_kid(taken: Collection[str]) -> str:
    return next(name for number in count(1) if (name := f"k{number}") not in taken)
