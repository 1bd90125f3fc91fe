"""Mail to owners about their keys. It never holds more of a key than its last four characters."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.core.mail import send_mail
from django.template.loader import render_to_string

from credentials.models import LLMCredential

logger = logging.getLogger(__name__)


def credential_deleted(credential: LLMCredential, ended_sessions: int) -> None:
    subject = f"Your {credential.provider_label} key {credential.api_key_masked} was deleted"
    _send(credential, subject, "deleted", {"ended_sessions": ended_sessions})


def credential_expiring(credential: LLMCredential, days: int) -> None:
    when = "tomorrow" if days == 1 else f"in {days} days"
    subject = f"Your {credential.provider_label} key {credential.api_key_masked} expires {when}"
    _send(credential, subject, "expiring", {"when": when})


def credential_quarantined(credential: LLMCredential) -> None:
    subject = f"Your {credential.provider_label} key {credential.api_key_masked} stopped working"
    _send(credential, subject, "quarantined", {})


def _send(credential: LLMCredential, subject: str, name: str, facts: dict[str, object]) -> None:
    """A mail that can't be sent is logged: what it tells has happened all the same."""
    owner = credential.owner
    if owner is None or not owner.email:
        return
    context = {"credential": credential, "owner": owner, **facts}
    body = render_to_string(f"credentials/mail/{name}.txt", context)
    try:
        send_mail(subject, body, None, [owner.email])
    except (SMTPException, OSError) as error:
        logger.warning("Mail %r could not be sent: %s", name, type(error).__name__)
