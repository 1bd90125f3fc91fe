"""How long single ledger rows are kept. Roll-ups stay for ever."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from usage.models import PendingRollup, UsageRecord

BATCH = 2000


def drop_old_records() -> int:
    """Drops rows older than BYOM_KEEP_RECORDS_DAYS (0: none); how many. Whole days (UTC) only, and
    nothing that the roll-ups don't count yet. Safe in several processes at once."""
    if not settings.KEEP_RECORDS_DAYS:
        return 0
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    old = UsageRecord.objects.filter(created_at__lt=today - timedelta(settings.KEEP_RECORDS_DAYS))
    dropped = 0
    while ids := _batch(old):
        dropped += UsageRecord.objects.filter(pk__in=ids).retire()
    return dropped


def _batch(old: models.QuerySet[UsageRecord]) -> list[uuid.UUID]:
    counted = old.exclude(pk__in=PendingRollup.objects.values("record_id"))
    return list(counted.order_by("created_at").values_list("pk", flat=True)[:BATCH])
