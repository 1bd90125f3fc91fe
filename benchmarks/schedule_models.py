"""Runs that are to be made again and again."""

from __future__ import annotations

import uuid
from datetime import datetime, time
from typing import Any, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from benchmarks.rhythm import DAYS, MOST_HOURS, Every, Rhythm
from credentials.models import AccessToken
from usage.budget_models import known_time_zone

WEEKDAYS = [(number, day.capitalize()) for number, day in enumerate(DAYS)]


class BenchmarkScheduleQuerySet(models.QuerySet["BenchmarkSchedule"]):
    def owned_by(self, user: Any) -> Self:
        return self.filter(owner_id=user.pk) if user.pk else self.none()

    def due(self, now: datetime) -> Self:
        return self.filter(is_active=True, next_at__lte=now).order_by("next_at", "pk")

    def claim(self, schedule: BenchmarkSchedule, next_at: datetime) -> bool:
        """Takes the time that is due, in one statement: of all who try only one gets it."""
        rows = self.filter(pk=schedule.pk, is_active=True, next_at=schedule.next_at)
        return bool(rows.update(next_at=next_at, last_due_at=schedule.next_at))


class BenchmarkSchedule(models.Model):
    """`plan` is what each run gets, with a seed of its own. `note` says what became of the time
    that was due last, if no run did. What an access token made ends with it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="benchmark_schedules"
    )
    access_token = models.ForeignKey(AccessToken, on_delete=models.CASCADE, null=True)
    name = models.CharField(max_length=80)
    plan = models.JSONField()
    every = models.CharField(max_length=5, choices=Every, default=Every.DAY)
    hours = models.PositiveSmallIntegerField(
        default=6, validators=[MinValueValidator(1), MaxValueValidator(MOST_HOURS)]
    )
    at = models.TimeField(default=time(6))
    weekday = models.PositiveSmallIntegerField(default=0, choices=WEEKDAYS)
    time_zone = models.CharField(max_length=40, default="UTC", validators=[known_time_zone])
    is_active = models.BooleanField(default=True)
    next_at = models.DateTimeField(db_index=True)
    last_due_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BenchmarkScheduleQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    @property
    def rhythm(self) -> Rhythm:
        return Rhythm(
            every=Every(self.every),
            hours=self.hours,
            at=self.at,
            weekday=self.weekday,
            zone=self.time_zone,
        )
