"""Provider keys that people bring, and the access tokens that we give to their programs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.db.models.functions import Left
from django.utils import timezone

from credentials.audit import AuditEvent, AuditHead  # noqa: F401  # models of this app
from credentials.errors import (
    CredentialExpired,
    CredentialInactive,
    CredentialQuarantined,
    ScopeNeeded,
)
from credentials.fields import MASK, SealedModel, SealedQuerySet, SealedTextField
from credentials.vault import VERSION, ring
from providers import registry
from providers.simulated import is_simulator_key

Owner = AbstractBaseUser | AnonymousUser


class CredentialQuerySet(SealedQuerySet["LLMCredential"]):
    def owned_by(self, owner: Owner) -> Self:
        return self.filter(owner_id=owner.pk)

    def active(self) -> Self:
        return self.filter(is_active=True)

    def usable(self) -> Self:
        """Active, not expired and not in quarantine."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.active().filter(unexpired, quarantined_at=None)

    def of_system(self) -> Self:
        """The operator's own keys: they have no owner."""
        return self.filter(owner=None)

    def not_on_key(self, kid: str) -> Self:
        """What another encryption key than `kid` has sealed; purged rows hold nothing sealed."""
        head = f"{VERSION}:{kid}:"
        rows = self.filter(api_key__isnull=False).alias(head=Left("api_key", len(head)))
        return rows.exclude(head=head, key_kid=kid)


class LLMCredential(SealedModel):
    """A person's key for one provider. The key itself is sealed; see `credentials.vault`."""

    sealed_field = "api_key"
    derived_fields = frozenset({"key_kid", "last4", "fingerprint", "is_simulated"})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="llm_credentials",
        help_text="Empty for a key of the system's own.",
    )
    provider = models.CharField(max_length=32)
    label = models.CharField(max_length=80, blank=True)
    model_name = models.CharField(
        max_length=128, blank=True, help_text="Used when a call names no model."
    )
    api_key = SealedTextField(
        context="credentials.LLMCredential.api_key", null=True, editable=False
    )
    key_kid = models.CharField(max_length=16, editable=False)
    last4 = models.CharField(max_length=4, editable=False)
    fingerprint = models.CharField(max_length=12, editable=False, db_index=True)
    is_simulated = models.BooleanField(default=False, editable=False)
    base_url = models.CharField(max_length=500, blank=True)
    params = models.JSONField(default=dict, blank=True)
    is_default = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_validated_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=500, blank=True, editable=False)
    quarantined_at = models.DateTimeField(null=True, blank=True, editable=False)
    quarantine_reason = models.CharField(max_length=300, blank=True, editable=False)
    reminded_days = models.PositiveSmallIntegerField(
        null=True, editable=False, help_text="The expiry reminder that was sent last, in days."
    )
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    purged_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        verbose_name = "provider credential"
        ordering: ClassVar = ["provider", "label", "created_at"]
        base_manager_name = "objects"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "provider", "label"],
                condition=Q(is_active=True),
                name="one_active_credential_per_label",
            ),
            models.UniqueConstraint(
                fields=["owner"],
                condition=Q(is_active=True, is_default=True),
                name="one_active_default_per_owner",
            ),
            # SQL holds two empty owners for different: the system's own rows need their own rule.
            models.UniqueConstraint(
                fields=["provider", "label"],
                condition=Q(is_active=True, owner=None),
                name="one_active_system_credential_per_label",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.api_key_masked})"

    @property
    def name(self) -> str:
        """What people call it: its label, else its provider."""
        return self.label or self.provider_label

    @property
    def provider_label(self) -> str:
        return registry.label(self.provider)

    @property
    def api_key_masked(self) -> str:
        return f"{MASK}{self.last4}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def set_api_key(self, key: str) -> None:
        """Takes a checked key and everything that is derived from it; `save()` seals it."""
        self.api_key = key
        self.key_kid = ring().current
        self.last4 = key[-4:]
        self.fingerprint = ring().fingerprint(key)
        self.is_simulated = is_simulator_key(key)
        self.lift_quarantine()

    def lift_quarantine(self) -> None:
        """Takes back what `quarantine` did; `save()` stores it."""
        self.quarantined_at, self.quarantine_reason, self.last_error = None, "", ""

    def quarantine(self, reason: str) -> None:
        """No call uses the key until a test succeeds or it is replaced; `save()` stores it."""
        self.quarantined_at, self.quarantine_reason = timezone.now(), reason[:300]

    @property
    def state(self) -> str:
        """One word: active, quarantined, expired or deleted."""
        if not self.is_active:
            return "deleted"
        if self.is_expired:
            return "expired"
        return "quarantined" if self.quarantined_at else "active"

    def ensure_usable(self) -> None:
        """Raises CredentialInactive, CredentialExpired or CredentialQuarantined."""
        if not self.is_active:
            raise CredentialInactive(label=self.name)
        if self.is_expired:
            raise CredentialExpired(label=self.name)
        if self.quarantined_at:
            raise CredentialQuarantined(label=self.name, reason=self.quarantine_reason)


TOKEN_PREFIX = "byom_"
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
    def owned_by(self, owner: Owner) -> Self:
        return self.filter(user_id=owner.pk)

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
        LLMCredential,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="access_tokens",
        help_text="Calls with this token use this credential. Empty: the usual order.",
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
            made_by=made_by,
        )
        return row, token


class VaultCanary(models.Model):
    """A known text, sealed under each key of the ring.

    It tells a ring whose key has the right name and the wrong bytes before a person's key is
    sealed with it.
    """

    kid = models.CharField(max_length=16, primary_key=True)
    token = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.kid
