"""Alerts: who wants to hear of what and how, what was raised, and what is still to be delivered."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils.crypto import salted_hmac


class Kind(models.TextChoices):
    BUDGET = "budget", "Budget"
    SPIKE = "spike", "Unusual spending"
    ERRORS = "errors", "Failing calls"
    KEYS = "keys", "Keys"
    TEST = "test", "Test"


class Channel(models.TextChoices):
    MAIL = "mail", "Mail"
    WEBHOOK = "webhook", "Webhook"


class AlertPreference(models.Model):
    """What a person wants to hear of. Whoever has none has the defaults: everything, by mail."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="alert_preference",
    )
    budget = models.BooleanField("budgets at 50, 80 and 100%", default=True)
    spike = models.BooleanField("days that cost far more than usual", default=True)
    errors = models.BooleanField("many failing calls", default=True)
    keys = models.BooleanField("keys that expire or stop working", default=True)
    by_mail = models.BooleanField("by mail", default=True)
    webhook_url = models.CharField("webhook", max_length=500, blank=True)
    secret_number = models.PositiveIntegerField(default=1, editable=False)

    def __str__(self) -> str:
        return f"Alerts of {self.user}"

    @classmethod
    def of(cls, user: Any) -> AlertPreference:
        """The stored ones, or the defaults (not saved)."""
        return cls.objects.filter(user_id=user.pk).first() or cls(user_id=user.pk)

    @property
    def webhook_secret(self) -> str:
        """What signs this person's webhooks. Derived and stored nowhere; a new number makes a
        new one."""
        seed = f"{self.user_id}:{self.secret_number}"
        digest = salted_hmac("usage.alerts.webhook", seed, algorithm="sha256").hexdigest()
        return f"whsec_{digest}"

    def wants(self, kind: str) -> bool:
        return kind == Kind.TEST or bool(getattr(self, kind))

    def channels(self, kind: str) -> list[Channel]:
        """Keys have mail of their own (credentials.notices)."""
        if not self.wants(kind):
            return []
        mail = self.by_mail and kind != Kind.KEYS
        return [Channel.MAIL] * mail + [Channel.WEBHOOK] * bool(self.webhook_url)


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, user: Any) -> Self:
        return self.filter(user_id=user.pk) if user.pk else self.none()


class Alert(models.Model):
    """Something that one person was told. `key` says what it is about, so that it is told once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alerts"
    )
    kind = models.CharField(max_length=8, choices=Kind.choices)
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=1000)
    facts = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "key"], name="one_alert_of_a_thing")
        ]

    def __str__(self) -> str:
        return self.title


class AlertDelivery(models.Model):
    """An alert on one channel. Due while `next_at` is set; without it, delivered or given up."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=7, choices=Channel.choices)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, db_index=True)
    delivered_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "alert deliveries"

    def __str__(self) -> str:
        return f"{self.channel}: {self.outcome}"

    @property
    def outcome(self) -> str:
        if self.delivered_at:
            return "delivered"
        return "under way" if self.next_at else "given up"
