"""What happens to sessions when something they need goes, and what the breaker tells /metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from agents.breaker import breaker
from agents.models import AgentSession, SessionStatus
from agents.running import stop
from credentials.models import LLMCredential
from credentials.signals import credential_ended
from providers import registry
from usage.metrics import SUSPENDED
from usage.signals import Settled, calls_settled, metrics_read


@receiver(credential_ended)
def end_sessions(sender: Any, credential: LLMCredential, reason: str, **kwargs: Any) -> int:
    """Ends the sessions that run on the key; how many. What was said in them stays readable."""
    sessions = AgentSession.objects.filter(credential=credential)
    going = sessions.exclude(status=SessionStatus.TERMINATED)
    running = set(going.running().values_list("pk", flat=True))
    ended = going.update(status=SessionStatus.TERMINATED, reason=reason, updated_at=timezone.now())
    stop(running)
    return ended


@receiver(metrics_read)
def tell_suspended(sender: Any, **kwargs: Any) -> None:
    """Looked up, as a suspension ends by itself. Each process knows its own."""
    found = breaker.suspended()
    for provider in registry.names():
        SUSPENDED.labels(provider).set(found[provider])


@receiver(calls_settled)
def tell_suspended_on_failure(sender: Any, calls: Sequence[Settled], **kwargs: Any) -> None:
    """So that other processes' /metrics know too, without waiting for this one to be asked."""
    if any(call.record.error_code for call in calls):
        tell_suspended(sender)
