"""`manage.py create_demo_users`: one staff and one normal account to try the product with."""

from __future__ import annotations

import secrets
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

DEMO_USERS = {"admin": True, "demo": False}


class Command(BaseCommand):
    help = "Makes the users admin (staff) and demo with random passwords, where they don't exist."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("Demo users are for development. Use `manage.py createsuperuser`.")
        for username, is_staff in DEMO_USERS.items():
            if password := create(username, is_staff):
                self.stdout.write(f"  user {username:6} password {password}   (shown only now)")


@transaction.atomic
def create(username: str, is_staff: bool) -> str | None:
    """The new user's password, None if there is one of that name already."""
    users = get_user_model().objects
    if users.filter(username=username).exists():
        return None
    password = secrets.token_urlsafe(12)
    email = f"{username}@example.test"
    make = users.create_superuser if is_staff else users.create_user
    user = make(username, email, password)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return password
