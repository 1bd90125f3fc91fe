"""People's own servers of tools, and the tokens that open them."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q

from credentials.fields import MASK, SealedModel, SealedQuerySet, SealedTextField
from credentials.vault import ring


class ToolServerQuerySet(SealedQuerySet["ToolServer"]):
    def owned_by(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(owner_id=owner.pk) if owner.pk else self.none()

    def active(self) -> Self:
        return self.filter(is_active=True)


class ToolServer(SealedModel):
    """A person's own server of tools, spoken to by MCP over HTTP.

    Its bearer token, if it wants one, is sealed like a provider key (`credentials.vault`) and
    pinned to the URL: see `agents.tool_servers`. A deleted row stays, without its token.
    """

    sealed_field = "token"
    derived_fields = frozenset({"key_kid", "last4"})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tool_servers"
    )
    name = models.SlugField(max_length=24, help_text="Sessions name it as mcp:NAME.")
    url = models.CharField(max_length=500)
    token = SealedTextField(context="agents.ToolServer.token", null=True, editable=False)
    last4 = models.CharField(max_length=4, editable=False)
    is_active = models.BooleanField(default=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ToolServerQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        base_manager_name = "objects"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=Q(is_active=True),
                name="one_tool_server_of_a_name",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def token_masked(self) -> str:
        """Empty where it has none."""
        return f"{MASK}{self.last4}" if self.last4 else ""

    def set_token(self, token: str) -> None:
        """Takes a checked token, or none where it is empty; `save()` seals it."""
        self.token = token or None
        self.key_kid = ring().current if token else ""
        self.last4 = token[-4:]

    def reveal_token(self) -> str:
        """The token itself, to send it; empty where there is none. Raises vault.Unreadable."""
        return self.token.reveal("tool") if self.token else ""
