"""How a program signs in to the API: `Authorization: Bearer byom_…`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from credentials.models import AccessToken

LAST_USED_PRECISION = timedelta(minutes=1)


class AccessTokenAuthentication(BaseAuthentication):
    """Sets `request.user` to the token's user and `request.auth` to the AccessToken."""

    def authenticate(self, request: Request) -> tuple[Any, AccessToken] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        row = AccessToken.objects.for_token(token.strip().decode("latin-1"))
        if row is None:
            raise AuthenticationFailed(
                "This access token is not valid: it is unknown, expired or revoked. "
                "Make a new one and send it as 'Authorization: Bearer byom_…'."
            )
        note_use(row)
        return row.user, row

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def note_use(row: AccessToken) -> None:
    """Keeps `last_used_at` to the minute: a write for each call would cost more than it tells."""
    now = timezone.now()
    if row.last_used_at is None or now - row.last_used_at > LAST_USED_PRECISION:
        AccessToken.objects.filter(pk=row.pk).update(last_used_at=now)
