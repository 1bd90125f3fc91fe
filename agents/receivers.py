"""What happens to sessions when something they need goes."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from agents.models import AgentSession, SessionStatus
from agents.running import stop
from credentials.models import LLMCredential
from credentials.signals import credential_ended


@receiver(credential_ended)
def end_sessions(sender: Any, credential: LLMCredential, reason: str, **kwargs: Any) -> int:
    """Ends the sessions that run on the key; how many. What was said in them stays readable."""
    sessions = AgentSession.objects.filter(credential=credential)
    going = sessions.exclude(status=SessionStatus.TERMINATED)
    running = set(going.running().values_list("pk", flat=True))
    ended = going.update(status=SessionStatus.TERMINATED, reason=reason, updated_at=timezone.now())
    stop(running)
    return ended
