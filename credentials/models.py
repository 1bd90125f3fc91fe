"""Provider keys that people bring. Tokens, aliases and audit events have modules of their own."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from credentials.access_tokens import AccessToken, Scope, every_scope, token_digest
from credentials.aliases import ModelAlias
from credentials.audit import AuditEvent, AuditHead
from credentials.errors import (
    CredentialExpired,
    CredentialInactive,
    CredentialQuarantined,
)
from credentials.fields import MASK, SealedModel, SealedQuerySet, SealedTextField
from credentials.vault import ring
from providers import registry
from providers.simulated import is_simulator_key

__all__ = [
    "AccessToken",
    "AuditEvent",
    "AuditHead",
    "CredentialQuerySet",
    "LLMCredential",
    "ModelAlias",
    "Scope",
    "VaultCanary",
    "every_scope",
    "token_digest",
]


class CredentialQuerySet(SealedQuerySet["LLMCredential"]):
    def owned_by(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        """Nobody's rows are the system's, so a visitor owns none."""
        return self.filter(owner_id=owner.pk) if owner.pk else self.none()

    def active(self) -> Self:
        return self.filter(is_active=True)

    def usable(self) -> Self:
        """Active, not expired and not in quarantine."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.active().filter(unexpired, quarantined_at=None)

    def of_system(self) -> Self:
        """The operator's own keys: they have no owner."""
        return self.filter(owner=None)


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

    def derived_from(self, plaintext: str) -> dict[str, Any]:
        return {**super().derived_from(plaintext), "fingerprint": ring().fingerprint(plaintext)}

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
