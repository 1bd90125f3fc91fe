"""Agent sessions and their messages."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents import parts
from agents.tool_server_models import ToolServer, ToolServerQuerySet
from credentials.models import LLMCredential
from providers import registry
from providers.vocabulary import Message as NeutralMessage
from providers.vocabulary import Text
from usage.models import UsageRecord

__all__ = [
    "AgentSession",
    "Message",
    "Policy",
    "Role",
    "SelectionPolicy",
    "SessionQuerySet",
    "SessionStatus",
    "ToolServer",
    "ToolServerQuerySet",
]

LEASE = timedelta(seconds=30)
LOST = "The turn was lost: the process that ran it ended. Send a message to go on."


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

    def search(self, text: str) -> Self:
        """Those with the text in their title, goal or messages."""
        said = Message.objects.filter(session=models.OuterRef("pk"), text__icontains=text)
        return self.filter(Q(title__icontains=text) | Q(goal__icontains=text) | models.Exists(said))

    def running(self) -> Self:
        return self.filter(status=SessionStatus.RUNNING)

    def lost(self) -> Self:
        """Whose turn has given no sign of life for a lease: its process has ended."""
        before = timezone.now() - LEASE
        return self.running().filter(
            Q(heartbeat_at__lt=before) | Q(heartbeat_at=None, updated_at__lt=before)
        )

    def fail_lost(self) -> int:
        """Marks the sessions whose turn was lost as failed; how many. They can go on."""
        return self.lost().update(
            status=SessionStatus.FAILED, reason=LOST, turn_id=None, updated_at=timezone.now()
        )

    def claim(self, session_id: uuid.UUID, turn_id: uuid.UUID) -> bool:
        """Marks the session as running the turn, unless another one runs; True if it did.

        One statement, so that of two turns that start at once only one gets it.
        """
        now = timezone.now()
        free = self.filter(pk=session_id).exclude(
            status__in=(SessionStatus.RUNNING, SessionStatus.TERMINATED)
        )
        return bool(
            free.update(
                status=SessionStatus.RUNNING, reason="", turn_id=turn_id, heartbeat_at=now,
                cancel_requested=False, updated_at=now,
            )
        )  # fmt: skip

    def held_by(self, turn_id: uuid.UUID) -> Self:
        """The session that this turn runs, unless it has been taken from it meanwhile."""
        return self.running().filter(turn_id=turn_id)


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
    tools = models.JSONField(
        default=list, blank=True, help_text="Names of tools, and mcp:NAME for a tool server."
    )
    status = models.CharField(
        max_length=10, choices=SessionStatus.choices, default=SessionStatus.PENDING
    )
    reason = models.CharField(max_length=500, blank=True)
    turn_id = models.UUIDField(null=True, blank=True, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    cancel_requested = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-updated_at"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-updated_at"], name="session_by_owner"),
            # Every process looks for lost turns, again and again, among sessions that only grow.
            models.Index(
                fields=["heartbeat_at"],
                name="running_session",
                condition=Q(status=SessionStatus.RUNNING),
            ),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)

    @property
    def system_text(self) -> str:
        return "\n\n".join(text for text in (self.instructions, self.goal_text) if text)

    @property
    def goal_text(self) -> str:
        return f"The goal of this conversation: {self.goal}" if self.goal else ""

    @property
    def provider_label(self) -> str:
        return registry.label(self.provider) if self.provider else ""


class Role(models.TextChoices):
    USER = "user", "You"
    ASSISTANT = "assistant", "Model"
    TOOL = "tool", "Tools"
    NOTE = "note", "Note"


class MessageQuerySet(models.QuerySet["Message"]):
    def for_model(self) -> Self:
        """What the model gets to see: notes are for people."""
        return self.exclude(role=Role.NOTE).order_by("position")


class Message(models.Model):
    """One entry of a session. `record` is the ledger row of the call that made it; the last answer
    of a turn knows by its `finish_reason` how that ended.

    `parts` is all of it (see `agents.parts`), `text` what of it can be searched. Results of tools
    stand in an entry of their own, notes tell people of changes and are not sent to the model.
    """

    session = models.ForeignKey(AgentSession, on_delete=models.CASCADE, related_name="messages")
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=9, choices=Role.choices)
    text = models.TextField(blank=True)
    parts = models.JSONField(default=list, blank=True)
    record = models.ForeignKey(UsageRecord, on_delete=models.SET_NULL, null=True, blank=True)
    finish_reason = models.CharField(max_length=16, blank=True, db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["session", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "position"], name="one_message_per_position")
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.role}"

    @property
    def content(self) -> list[dict[str, Any]]:
        """The parts as people see them; also of entries from before there were parts."""
        return parts.shown(self.parts or [parts.dump(Text(self.text))])

    def neutral(self, provider: str = "") -> NeutralMessage:
        """The entry for a call to `provider`."""
        found = tuple(parts.load(part, provider) for part in self.parts) or (Text(self.text),)
        return NeutralMessage("assistant" if self.role == Role.ASSISTANT else "user", found)

    @classmethod
    def append(cls, session: AgentSession, role: Role, text: str, **fields: Any) -> Message:
        """Adds to the end. Only the turn that has claimed the session may call it."""
        fields.setdefault("parts", [parts.dump(Text(text))])
        last = session.messages.aggregate(last=models.Max("position"))["last"] or 0
        return cls.objects.create(
            session=session, position=last + 1, role=role, text=text, **fields
        )
