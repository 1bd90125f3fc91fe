"""Making and revoking access tokens. All arguments are keyword-only.

A token may make tokens, none with more power than its own: its scopes at most, its pinned
credential if it has one, and no later expiry. Revoking it revokes them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from credentials.errors import BeyondMaker, CredentialNotFound, ExpiryPassed, UnknownScope
from credentials.models import AccessToken, LLMCredential, Scope
from credentials.trail import Action, record


def create_token(
    *,
    user: Any,
    name: str,
    scopes: Sequence[str] | None = None,
    credential_id: uuid.UUID | str | None = None,
    expires_at: datetime | None = None,
    cache_seconds: int = 0,
    made_by: AccessToken | None = None,
) -> tuple[AccessToken, str]:
    """A new row and the token itself, which can't be had again.

    No scopes named are all that there are; those and everything else that is not named come from
    the maker, where that is a token. Raises UnknownScope, ExpiryPassed, BeyondMaker,
    CredentialNotFound, and what `LLMCredential.ensure_usable` raises.
    """
    if made_by is not None:
        scopes = made_by.scopes if scopes is None else scopes
        credential_id = credential_id or made_by.credential_id
        expires_at = expires_at or made_by.expires_at
    scopes = list(Scope.values) if scopes is None else check_scopes(scopes)
    if expires_at is not None and expires_at <= timezone.now():
        raise ExpiryPassed
    if made_by is not None:
        _refuse_more_power(made_by, scopes, credential_id, expires_at)
    credential = _usable(user, credential_id) if credential_id else None
    with transaction.atomic():
        if made_by is not None and not _still_valid(made_by):
            raise BeyondMaker(excess="outlives it: it has just been revoked")
        row, token = AccessToken.issue(
            user=user,
            name=name,
            scopes=scopes,
            credential=credential,
            expires_at=expires_at,
            cache_seconds=cache_seconds,
            made_by=made_by,
        )
        record(Action.TOKEN_CREATE, row, detail=f"{row}: {', '.join(scopes)}")
    return row, token


def revoke_token(*, token: AccessToken) -> None:
    """From now on it opens nothing, nor do the tokens that it made. Twice is no mistake."""
    with transaction.atomic():
        family = [AccessToken.objects.select_for_update().get(pk=token.pk)]
        for row in family:  # grows as it goes; all are locked before the trail is
            family += row.made.select_for_update()
        for row in family:
            if row.revoked_at is None:
                row.revoked_at = timezone.now()
                row.save(update_fields=["revoked_at"])
                record(Action.TOKEN_REVOKE, row, detail=str(row))


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """The same in the order that we list them in, each once. Raises UnknownScope."""
    asked = set(scopes)
    if unknown := sorted(asked - set(Scope.values)):
        names = ", ".join(name[:40] for name in unknown[:5])
        raise UnknownScope(names=names, known=", ".join(Scope.values))
    if not asked:
        raise UnknownScope(names="none named", known=", ".join(Scope.values))
    return [scope for scope in Scope.values if scope in asked]


def _usable(user: Any, credential_id: uuid.UUID | str) -> LLMCredential:
    try:
        credential = LLMCredential.objects.owned_by(user).filter(pk=credential_id).first()
    except ValidationError:  # not a UUID at all
        credential = None
    if credential is None:
        raise CredentialNotFound
    credential.ensure_usable()
    return credential


def _still_valid(token: AccessToken) -> bool:
    """Locks it: a token that is being revoked makes no other one behind our back."""
    rows = AccessToken.objects.valid().select_for_update(of=("self",))
    return rows.filter(pk=token.pk).first() is not None


def _refuse_more_power(
    maker: AccessToken,
    scopes: Sequence[str],
    credential_id: uuid.UUID | str | None,
    expires_at: datetime | None,
) -> None:
    if more := sorted(set(scopes) - set(maker.scopes)):
        raise BeyondMaker(excess=f"has scopes that it lacks itself: {', '.join(more)}")
    if maker.credential_id and str(credential_id) != str(maker.credential_id):
        raise BeyondMaker(excess="uses another credential than its own")
    if maker.expires_at and (expires_at is None or expires_at > maker.expires_at):
        raise BeyondMaker(excess="lasts longer than itself")
