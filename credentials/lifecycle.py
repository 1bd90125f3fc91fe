"""What happens to credentials by themselves: use, quarantine, expiry, and the purge.

`housekeeping` is for a timer; running it twice, or in several processes at once, does no harm.
"""

from __future__ import annotations

import math
import time
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from credentials import notices
from credentials.models import LLMCredential
from credentials.trail import Action, record

USE_SECONDS = 60.0
USE_PRECISION = timedelta(seconds=USE_SECONDS)
REMINDER_DAYS = (7, 1)
# The provider's word that the key itself is the trouble, by the error's code.
QUARANTINE_CODES = frozenset({"authentication_failed", "quota_spent"})


def note_use(credential_id: uuid.UUID, error_code: str, reason: str = "") -> None:
    """After each call with a key: when it worked last, or that its provider refused it.

    `last_used_at` is kept to the minute: a write for each call would cost more than it tells.
    """
    if error_code:
        _noted.pop(credential_id.int, None)
    if error_code in QUARANTINE_CODES:
        quarantine(credential_id, reason)
        return
    if not is_news(credential_id, error_code):
        return
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_PRECISION)
    row = LLMCredential.objects.filter(stale, pk=credential_id)
    if error_code:
        row.update(last_used_at=now)
    else:
        _remember(credential_id)
        row.update(last_used_at=now, last_validated_at=now, last_error="")


_noted: dict[int, float] = {}  # by numbers: Python hashes a UUID by calling two functions
_MOST_NOTED = 10_000


def is_news(credential_id: uuid.UUID, error_code: str) -> bool:
    """Whether `note_use` would have anything to write: each failure, and a good call if this
    process has not noted one with the key within the last minute."""
    since = time.monotonic() - _noted.get(credential_id.int, -math.inf)
    return bool(error_code) or since >= USE_SECONDS


def _remember(credential_id: uuid.UUID) -> None:
    if len(_noted) >= _MOST_NOTED:
        _noted.clear()
    _noted[credential_id.int] = time.monotonic()


def quarantine(credential_id: uuid.UUID, reason: str) -> bool:
    """Keeps a key from further calls until a test succeeds; its owner is told. False if it was
    in quarantine already, or is gone."""
    with transaction.atomic():
        row = LLMCredential.objects.select_for_update().filter(
            pk=credential_id, is_active=True, quarantined_at=None
        )
        credential = row.first()
        if credential is None:
            return False
        credential.quarantine(reason)
        credential.last_error = reason[:500]
        fields = ["quarantined_at", "quarantine_reason", "last_error", "updated_at"]
        credential.save(update_fields=fields)
        record(Action.QUARANTINE, credential, detail=reason[:200])
        transaction.on_commit(lambda: notices.credential_quarantined(credential))
    return True


def lift_quarantine(credential: LLMCredential) -> None:
    """By a person's decision, without a test."""
    with transaction.atomic():
        credential.lift_quarantine()
        fields = ["quarantined_at", "quarantine_reason", "last_error", "updated_at"]
        credential.save(update_fields=fields)
        record(Action.LIFT, credential)


def housekeeping() -> dict[str, int]:
    """Reminders that are due, and ciphertexts whose grace period is over; how many of each."""
    return {"reminded": send_reminders(), "purged": purge_deleted()}


def send_reminders() -> int:
    """Mails owners 7 days and 1 day before a key expires, once for each."""
    sent = 0
    now = timezone.now()
    soon = now + timedelta(days=max(REMINDER_DAYS))
    rows = LLMCredential.objects.active().filter(expires_at__gt=now, expires_at__lte=soon)
    for credential in rows.select_related("owner"):
        left = credential.expires_at - now  # type: ignore[operator]  # the filter excludes None
        days = min(day for day in REMINDER_DAYS if left <= timedelta(days=day))
        if _claim_reminder(credential, days):
            notices.credential_expiring(credential, days)
            sent += 1
    return sent


def _claim_reminder(credential: LLMCredential, days: int) -> bool:
    """One statement, so that of several processes only one sends the mail."""
    unsent = Q(reminded_days=None) | Q(reminded_days__gt=days)
    row = LLMCredential.objects.filter(unsent, pk=credential.pk)
    return bool(row.update(reminded_days=days))


def purge_deleted() -> int:
    """Drops the ciphertext of keys deleted longer ago than the grace period; what identifies
    them in the books (label, last four, fingerprint) stays."""
    limit = timezone.now() - timedelta(days=settings.PURGE_AFTER_DAYS)
    rows = LLMCredential.objects.filter(is_active=False, deleted_at__lte=limit, purged_at=None)
    count = 0
    for credential in rows.iterator():
        with transaction.atomic():
            credential.api_key = None
            credential.purged_at = timezone.now()
            credential.save(update_fields=["api_key", "purged_at", "updated_at"])
            record(Action.PURGE, credential)
        count += 1
    return count
