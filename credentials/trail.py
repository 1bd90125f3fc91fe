"""Writes the audit trail: `trail.record(trail.Action.CREATE, credential)`.

Who acts is found out here: the request that `AuditContextMiddleware` put into the context, what
`acting` names (a command, the gateway), else the system itself.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from credentials.audit import Action, AuditEvent, AuditHead, Outcome
from providers.redaction import redact

if TYPE_CHECKING:
    from django.db import models

    from credentials.models import AccessToken

__all__ = ["COMMAND_LINE", "SYSTEM", "Action", "Actor", "Outcome", "acting", "record"]

OBJECT_TYPES = {
    "llmcredential": "credential",
    "accesstoken": "access_token",
    "toolserver": "tool_server",
    "benchmarkrun": "benchmark",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from where, and with which access token (its prefix)."""

    id: int | None = None
    name: str = "system"
    address: str | None = None
    token_prefix: str = ""

    @classmethod
    def of_user(
        cls, user: Any, *, address: str | None = None, token: AccessToken | None = None
    ) -> Actor:
        """Of a signed-in user, or of nobody in particular."""
        name = user.get_username() if user.is_authenticated else "anonymous"
        return cls(user.pk, name, _valid_address(address), token.prefix if token else "")

    @classmethod
    def at_shell(cls, username: str = "") -> Actor:
        """Who runs a command: the person they say they are (raises CommandError where there is
        none of that name), else the machine's account."""
        if username:
            return cls.of_user(_person(username))
        with suppress(KeyError, OSError):  # an id without a name, as containers have them
            return cls(name=f"command line ({getpass.getuser()})")
        return COMMAND_LINE

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        """Read when something is recorded: DRF signs people in long after the middleware."""
        token = getattr(request, "auth", None)  # DRF's, put onto the request beneath it
        return cls.of_user(
            request.user,
            address=request.META.get("REMOTE_ADDR"),
            token=token if hasattr(token, "prefix") else None,
        )


def _person(username: str) -> Any:
    try:
        return get_user_model().objects.get_by_natural_key(username)
    except get_user_model().DoesNotExist:
        raise CommandError(f"There is no user {username!r}.") from None


SYSTEM = Actor()
COMMAND_LINE = Actor(name="command line")

_acting: ContextVar[HttpRequest | Actor] = ContextVar("byom_audit_actor", default=SYSTEM)


@contextmanager
def acting(who: HttpRequest | Actor) -> Iterator[None]:
    """Whatever is recorded within was done by `who`. Also a decorator:
    `@trail.acting(trail.COMMAND_LINE)`."""
    token = _acting.set(who)
    try:
        yield
    finally:
        _acting.reset(token)


def current_actor() -> Actor:
    who = _acting.get()
    return who if isinstance(who, Actor) else Actor.of_request(who)


def record(
    action: Action,
    obj: models.Model | None,
    *,
    outcome: Outcome = Outcome.OK,
    detail: str = "",
    actor: Actor | None = None,
) -> AuditEvent:
    """Adds one event about `obj`, one of `OBJECT_TYPES`, to the chain; within a transaction it
    commits or vanishes with it.

    Let it be the transaction's last step: it locks the head of the chain until the commit, and
    all that record wait for that. What looks like a key is taken out of `detail`. No object is
    what concerns the ledger.
    """
    actor = actor or current_actor()
    via = f"via token {actor.token_prefix}" if actor.token_prefix else ""
    event = AuditEvent(
        actor_id=actor.id,
        actor_name=actor.name[:150],
        owner_id=getattr(obj, "owner_id", None) or getattr(obj, "user_id", None),
        action=action.value,
        object_type=OBJECT_TYPES.get(str(obj._meta.model_name), "") if obj else "ledger",
        object_id=str(obj.pk) if obj else "",
        outcome=outcome.value,
        provider=getattr(obj, "provider", ""),
        last4=getattr(obj, "last4", ""),
        address=actor.address,
        detail=_clean("; ".join(filter(None, (via, detail)))),
    )
    with transaction.atomic(savepoint=False):  # no event, no change: both roll back
        _chain(event)
    return event


def _chain(event: AuditEvent) -> None:
    head = AuditHead.lock()
    event.position, event.previous = head.position + 1, head.digest
    event.at = timezone.now()
    event.digest = event.compute_digest()
    event.save()
    head.position, head.digest = event.position, event.digest
    head.save(update_fields=["position", "digest"])


def _clean(text: str) -> str:
    """One printable line without keys, as long as the column."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return redact(printable)[:200]


def _valid_address(text: str | None) -> str | None:
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
