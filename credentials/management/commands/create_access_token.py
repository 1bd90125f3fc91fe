"""`manage.py create_access_token --user demo`: a token for a program, printed once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from credentials import tokens, trail
from credentials.errors import UnknownScope
from credentials.models import Scope


class Command(BaseCommand):
    help = "Makes an access token for a user and prints it: the only time that it can be seen."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, help="user name")
        parser.add_argument("--name", default="command line", help="what the token is for")
        parser.add_argument(
            "--scopes", help=f"separated by commas; all when left out: {','.join(Scope.values)}"
        )

    @trail.acting(trail.COMMAND_LINE)
    def handle(self, *args: Any, user: str, name: str, scopes: str | None, **options: Any) -> None:
        names = None if scopes is None else [part.strip() for part in scopes.split(",")]
        try:
            owner = get_user_model().objects.get_by_natural_key(user)
            _, token = tokens.create_token(user=owner, name=name[:80], scopes=names)
        except get_user_model().DoesNotExist:
            raise CommandError(f"There is no user {user!r}.") from None
        except UnknownScope as error:
            raise CommandError(str(error)) from None
        self.stderr.write("Keep it: it is shown only once. Use it as 'Authorization: Bearer …'.")
        self.stdout.write(token)
