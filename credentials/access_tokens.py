"""Access tokens: what programs show us."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from credentials.errors import ScopeNeeded

if TYPE_CHECKING:
    from credentials.models import LLMCredential

TOKEN_PREFIX = "byom_"
LONGEST_CACHE = 24 * 3600  # seconds
SHOWN_CHARACTERS = len(TOKEN_PREFIX) + 6


class Scope(models.TextChoices):
    """What an access token may be used for."""

    CREDENTIALS_READ = "credentials:read", "See provider keys (masked)"
    CREDENTIALS_WRITE = "credentials:write", "Add, change and delete provider keys"
    AGENTS = "agents", "Run agent sessions"
    GATEWAY = "gateway", "Call providers through the gateway"
    USAGE_READ = "usage:read", "See usage and cost"
    BENCHMARKS = "benchmarks", "Run and see benchmarks"


def every_scope() -> list[str]:
    return list(Scope.values)


def token_digest(token: str) -> str:
    """SHA-256 is enough: the token holds 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def owned_by(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(user_id=owner.pk) if owner.pk else self.none()

    def valid(self) -> Self:
        now = timezone.now()
        return self.filter(revoked_at=None, user__is_active=True).filter(
            Q(expires_at=None) | Q(expires_at__gt=now)
        )

    def for_token(self, token: str) -> AccessToken | None:
        """The valid row of a token as a program shows it, with its user; None if there is none.

        The index is searched for the token's SHA-256: its timing tells of digests, which nobody
        can choose. What is found is compared again, in constant time.
        """
        if not token.startswith(TOKEN_PREFIX):
            return None
        digest = token_digest(token)
        row = self.valid().select_related("user").filter(digest=digest).first()
        return row if row and hmac.compare_digest(row.digest, digest) else None


class AccessToken(models.Model):
    """What a program shows us. Only its prefix and hash are kept."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens"
    )
    name = models.CharField(max_length=80)
    scopes = models.JSONField(default=every_scope)
    prefix = models.CharField(max_length=SHOWN_CHARACTERS, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    credential = models.ForeignKey(
        "credentials.LLMCredential",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="access_tokens",
        help_text="Calls with this token use this credential. Empty: the usual order.",
    )
    cache_seconds = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(LONGEST_CACHE)],
        help_text="How long the gateway gives an answer again to the very same request. 0: never.",
    )
    made_by = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        editable=False,
        related_name="made",
        help_text="The token that made it; revoking that one revokes this one too.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def state(self) -> str:
        """One word: active, expired or revoked."""
        if self.revoked_at:
            return "revoked"
        is_expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return "expired" if is_expired else "active"

    def ensure_scope(self, scope: Scope) -> None:
        """Raises ScopeNeeded."""
        if scope.value not in self.scopes:
            raise ScopeNeeded(scope=scope.value)

    @classmethod
    def issue(
        cls,
        *,
        user: Any,
        name: str,
        scopes: Sequence[str] | None = None,
        credential: LLMCredential | None = None,
        expires_at: datetime | None = None,
        cache_seconds: int = 0,
        made_by: AccessToken | None = None,
    ) -> tuple[AccessToken, str]:
        """A new row and the token itself, which can't be had again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            user=user,
            name=name,
            scopes=every_scope() if scopes is None else list(scopes),
            prefix=token[:SHOWN_CHARACTERS],
            digest=token_digest(token),
            credential=credential,
            expires_at=expires_at,
            cache_seconds=cache_seconds,
            made_by=made_by,
        )
        return row, token
