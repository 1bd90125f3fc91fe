"""Provider keys that people bring, and the access tokens that we give to their programs."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from credentials.errors import CredentialExpired, CredentialInactive
from credentials.fields import MASK, SealedQuerySet, SealedTextField
from credentials.vault import ring
from providers import registry
from providers.simulated import is_simulator_key

Owner = AbstractBaseUser | AnonymousUser


class CredentialQuerySet(SealedQuerySet["LLMCredential"]):
    def owned_by(self, owner: Owner) -> Self:
        return self.filter(owner_id=owner.pk)

    def active(self) -> Self:
        return self.filter(is_active=True)

    def usable(self) -> Self:
        """Active and not expired."""
        return self.active().filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))


class LLMCredential(models.Model):
    """A person's key for one provider. The key itself is sealed; see `credentials.vault`."""

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
    api_key = SealedTextField(context="credentials.LLMCredential.api_key", editable=False)
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
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
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

    def ensure_usable(self) -> None:
        """Raises CredentialInactive or CredentialExpired."""
        if not self.is_active:
            raise CredentialInactive(label=self.name)
        if self.is_expired:
            raise CredentialExpired(label=self.name)


TOKEN_PREFIX = "byom_"
SHOWN_CHARACTERS = len(TOKEN_PREFIX) + 6


def token_digest(token: str) -> str:
    """SHA-256 is enough: the token holds 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    def valid(self) -> Self:
        now = timezone.now()
        return self.filter(revoked_at=None, user__is_active=True).filter(
            Q(expires_at=None) | Q(expires_at__gt=now)
        )

    def for_token(self, token: str) -> AccessToken | None:
        """The valid row of a token as a program shows it, with its user; None if there is none."""
        if not token.startswith(TOKEN_PREFIX):
            return None
        return self.valid().select_related("user").filter(digest=token_digest(token)).first()


class AccessToken(models.Model):
    """What a program shows us. Only its prefix and hash are kept."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="access_tokens"
    )
    name = models.CharField(max_length=80)
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
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(
        cls,
        *,
        user: Any,
        name: str,
        credential: LLMCredential | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[AccessToken, str]:
        """A new row and the token itself, which can't be had again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            user=user,
            name=name,
            prefix=token[:SHOWN_CHARACTERS],
            digest=token_digest(token),
            credential=credential,
            expires_at=expires_at,
        )
        return row, token
