from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from usage.models import DailyUsage, UsageRecord
from usage.retention import drop_old_records
from usage.rollups import roll_up

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


def booked(user: User, *, days_ago: int) -> UsageRecord:
    at = timezone.now() - timedelta(days=days_ago)
    with patch("django.utils.timezone.now", return_value=at):
        return UsageRecord.objects.create(
            user=user, surface="api", provider="openai", model="m", usage_source="reported",
            latency_ms=1.0, status="ok", paid_by="user", cost_usd=1,
        )  # fmt: skip


def test_old_rows_go_and_their_roll_ups_stay(alice: User, settings: Any) -> None:
    settings.KEEP_RECORDS_DAYS = 100
    booked(alice, days_ago=102)
    young = booked(alice, days_ago=99)
    roll_up()

    assert (drop_old_records(), drop_old_records()) == (1, 0)
    assert UsageRecord.objects.get() == young
    own = DailyUsage.objects.filter(owner=alice.pk, dimension="all")
    assert sum(day.calls for day in own) == 2


def test_what_is_not_counted_yet_is_kept(alice: User, settings: Any) -> None:
    settings.KEEP_RECORDS_DAYS = 100
    booked(alice, days_ago=102)

    assert drop_old_records() == 0


def test_by_default_rows_are_kept_for_ever(alice: User) -> None:
    booked(alice, days_ago=4000)
    roll_up()

    assert drop_old_records() == 0
