"""Agent sessions and their messages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from credentials.models import LLMCredential
from providers import registry
from providers.vocabulary import ChatRequest
from providers.vocabulary import Message as NeutralMessage
from usage.models import UsageRecord


class Policy(models.TextChoices):
    """Whose keys may pay for a call."""

    OWN_ONLY = "own_only", "Own keys only"
    OWN_THEN_SYSTEM = "own_then_system", "Own keys, else the system's"
    SYSTEM_ONLY = "system_only", "The system's key only"


class SelectionPolicy(models.Model):
    """Whose keys may pay for a user's calls: their own choice (empty: the server's), and whether
    staff forbid them the system's key. `agents.policy.payers` says what follows from it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="selection_policy",
    )
    policy = models.CharField(max_length=16, choices=Policy.choices, blank=True)
    system_key_forbidden = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "selection policies"

    def __str__(self) -> str:
        return f"{self.user}: {self.get_policy_display() or 'as the server'}"

    @classmethod
    def of(cls, user: Any) -> SelectionPolicy:
        """The user's row, or one that says nothing and is not saved."""
        return cls.objects.filter(user=user).first() or cls(user=user)

    @classmethod
    def choose(cls, user: Any, policy: str) -> None:
        """Sets the user's own choice; what staff have said stays."""
        cls.objects.update_or_create(user=user, defaults={"policy": policy})


class SessionStatus(models.TextChoices):
    PENDING = "pending", "Not started"
    RUNNING = "running", "Answering"
    COMPLETED = "completed", "Ready"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Stopped"
    TERMINATED = "terminated", "Ended"


class SessionQuerySet(models.QuerySet["AgentSession"]):
    def owned_by(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(owner_id=owner.pk) if owner.pk else self.none()

    def claim(self, session_id: uuid.UUID) -> bool:
        """Marks the session as running, unless a turn of it runs already; True if it did.

        One statement, so that of two turns that start at once only one gets it. A turn that is
        older than any call may take was lost with its process, and no longer counts.
        """
        lost = timezone.now() - timedelta(seconds=2 * settings.CALL_TIMEOUT_SECONDS)
        free = ~Q(status=SessionStatus.RUNNING) | Q(updated_at__lt=lost)
        claimed = self.filter(free, pk=session_id).update(
            status=SessionStatus.RUNNING, reason="", updated_at=timezone.now()
        )
        return bool(claimed)


class AgentSession(models.Model):
    """A conversation. With no credential of its own it follows the selection order."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_sessions"
    )
    title = models.CharField(max_length=120, blank=True)
    goal = models.TextField(blank=True)
    instructions = models.TextField(blank=True, help_text="The system text of every call.")
    credential = models.ForeignKey(
        LLMCredential,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="agent_sessions",
        help_text="Empty: the usual selection order.",
    )
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=128, blank=True)
    params = models.JSONField(default=dict, blank=True)
    policy = models.CharField(max_length=16, choices=Policy.choices, blank=True)
    fallback = models.JSONField(
        default=list,
        blank=True,
        help_text="What takes over, in order, where a call fails in a way that may pass.",
    )
    status = models.CharField(
        max_length=10, choices=SessionStatus.choices, default=SessionStatus.PENDING
    )
    reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-updated_at"]
        indexes: ClassVar = [models.Index(fields=["owner", "-updated_at"], name="session_by_owner")]

    def __str__(self) -> str:
        return self.title or str(self.id)

    def history(self) -> list[NeutralMessage]:
        return [message.neutral() for message in self.messages.order_by("position")]

    def request(self, model: str, defaults: Mapping[str, Any]) -> ChatRequest:
        """The next call of this session: all of its history, instructions and parameters, which
        win over `defaults`, those of the credential."""
        system = "\n\n".join(text for text in (self.instructions, self.goal_text) if text)
        params = {**defaults, **self.params}
        return ChatRequest(model=model, messages=self.history(), system=system, **params)

    @property
    def goal_text(self) -> str:
        return f"The goal of this conversation: {self.goal}" if self.goal else ""

    @property
    def provider_label(self) -> str:
        return registry.label(self.provider) if self.provider else ""


class Role(models.TextChoices):
    USER = "user", "You"
    ASSISTANT = "assistant", "Model"


class Message(models.Model):
    """One entry of a session. `record` is the ledger row of the call that made it."""

    session = models.ForeignKey(AgentSession, on_delete=models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=9, choices=Role.choices)
    text = models.TextField()
    record = models.ForeignKey(UsageRecord, on_delete=models.SET_NULL, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["session", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "position"], name="one_message_per_position")
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.role}"

    def neutral(self) -> NeutralMessage:
        make = NeutralMessage.user if self.role == Role.USER else NeutralMessage.assistant
        return make(self.text)

    @classmethod
    def append(cls, session: AgentSession, role: Role, text: str, **fields: Any) -> Message:
        """Adds to the end. Only the turn that has claimed the session may call it."""
        last = session.messages.aggregate(last=models.Max("position"))["last"] or 0
        return cls.objects.create(
            session=session, position=last + 1, role=role, text=text, **fields
        )
