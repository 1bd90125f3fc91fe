"""The audit trail: who did what to a credential, an access token or a tool server. Append-only
and hash-chained.

Each event's digest covers its own fields and the digest before it, so that an event that is
edited, removed or moved breaks the chain from there on. `AuditHead` holds the last link: with
its lock events are chained one at a time, and it tells when the newest were cut off.

Events are written by `credentials.trail.record` and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, ClassVar, NoReturn, Self

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models

NO_DIGEST = "0" * 64

# Named one by one: a field that is added later must not change the digests of old events.
CHAINED_FIELDS = (
    "position", "at", "actor_id", "actor_name", "owner_id", "action", "object_type", "object_id",
    "outcome", "provider", "last4", "address", "detail", "previous",
)  # fmt: skip


class Action(models.TextChoices):
    """What was done, as the trail stores it and as people read it."""

    CREATE = "create", "Key added"
    READ = "read", "Key looked at"
    UPDATE = "update", "Key changed"
    SET_DEFAULT = "set_default", "Key made the default"
    VALIDATE = "validate", "Key tested"
    ROTATE = "rotate", "Key replaced"
    RESEAL = "reseal", "Key sealed anew"
    USE_REFUSED = "use_refused", "Use of the key refused"
    QUARANTINE = "quarantine", "Key put into quarantine"
    LIFT = "lift", "Quarantine lifted"
    DELETE = "delete", "Key deleted"
    PURGE = "purge", "Deleted key erased"
    EXPIRE = "expire", "Key expired"
    TOKEN_CREATE = "token_create", "Access token made"
    TOKEN_REVOKE = "token_revoke", "Access token revoked"
    REPRICE = "reprice", "Past calls repriced"
    PRICES = "prices", "List of prices changed"
    SERVER_CREATE = "server_create", "Tool server added"
    SERVER_CHANGE = "server_change", "Tool server changed"
    SERVER_DELETE = "server_delete", "Tool server deleted"
    BENCHMARK_DELETE = "benchmark_delete", "Benchmark deleted"


class Outcome(models.TextChoices):
    OK = "ok", "Done"
    REFUSED = "refused", "Refused"
    FAILED = "failed", "Failed"


class AppendOnly(TypeError):
    """The audit trail is append-only: its events can't be changed or deleted."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class AuditQuerySet(models.QuerySet["AuditEvent"]):
    def of_owner(self, owner: AbstractBaseUser | AnonymousUser) -> Self:
        """What was done to this person's credentials and tokens, by whomever."""
        return self.filter(owner_id=owner.pk)

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def delete(self) -> NoReturn:
        raise AppendOnly

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly


class AuditEvent(models.Model):
    """One event. People are kept by id *and* name, without a foreign key: the trail outlives
    accounts and rows. `owner_id` is whose object it was, and so whose trail shows it."""

    position = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150, blank=True)
    owner_id = models.BigIntegerField(null=True, db_index=True)
    action = models.CharField(max_length=40)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=36)
    outcome = models.CharField(max_length=10)
    provider = models.CharField(max_length=32, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    address = models.GenericIPAddressField(null=True)
    detail = models.CharField(max_length=200, blank=True)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-position"]

    def __str__(self) -> str:
        return f"{self.position} {self.action} {self.outcome}"

    def save(self, **kwargs: Any) -> None:
        """Only ever an INSERT: Django would try an UPDATE first where the key is given."""
        if not self._state.adding:
            raise AppendOnly
        super().save(**{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly

    def compute_digest(self) -> str:
        """SHA-256 over `CHAINED_FIELDS` in a canonical form that no database changes."""
        facts = {name: _canonical(name, getattr(self, name)) for name in CHAINED_FIELDS}
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def action_label(self) -> str:
        return dict(Action.choices).get(self.action, self.action)

    @property
    def outcome_label(self) -> str:
        return dict(Outcome.choices).get(self.outcome, self.outcome)

    @property
    def own_address(self) -> str | None:
        """The address, where the owner acted: whoever helps them keeps theirs to themselves."""
        return self.address if self.actor_id == self.owner_id else None


class AuditHead(models.Model):
    """The one row that holds the last link of the chain."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, default="0" * 64)

    def __str__(self) -> str:
        return f"{self.position} {self.digest[:12]}"

    @classmethod
    def current(cls) -> Self:
        """The head as it stands; that of an empty trail where nothing was recorded yet."""
        return cls.objects.filter(pk=1).first() or cls()

    @classmethod
    def lock(cls) -> Self:
        """The head, ours until the transaction ends. On SQLite the transaction itself is the
        lock (IMMEDIATE)."""
        return cls.objects.select_for_update().get_or_create(pk=1)[0]


def _canonical(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if name == "address" and value is not None:
        return ip_address(value).packed.hex()  # PostgreSQL spells some addresses differently
    return value
