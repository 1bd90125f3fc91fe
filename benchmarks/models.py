"""Runs that were made: the plan, what came of it, and a row per call."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models


class RunStatus(models.TextChoices):
    COMPLETED = "completed", "Completed"
    OUT_OF_MONEY = "out_of_money", "Stopped by a limit of cost"
    INTERRUPTED = "interrupted", "Interrupted"


class BenchmarkRunQuerySet(models.QuerySet["BenchmarkRun"]):
    def of(self, owner_id: Any) -> Self:
        """One user's; None: those made with the operator's or the simulator's keys."""
        return self.filter(owner_id=owner_id)

    def owned_by(self, user: Any) -> Self:
        return self.of(user.pk) if user.pk else self.none()


class BenchmarkRun(models.Model):
    """`plan`, `summary`, `verdicts` and `environment` are as in the JSON file of results, whose
    fields docs/reference/benchmark-json.md describes. Written once, after the last call."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="benchmark_runs",
    )
    status = models.CharField(max_length=16, choices=RunStatus)
    is_simulated = models.BooleanField()
    schema_version = models.PositiveSmallIntegerField()
    plan = models.JSONField()
    environment = models.JSONField()
    summary = models.JSONField()
    verdicts = models.JSONField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = BenchmarkRunQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at", "-id")
        indexes = (models.Index(fields=("owner", "-started_at"), name="benchmark_run_own"),)

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} ({self.status})"


class BenchmarkSample(models.Model):
    """One call. Calls of the same `block` were made around the same time, one per contender.

    `record_id` is the id of its row in the usage ledger, which may outlive or precede it.
    """

    run = models.ForeignKey(BenchmarkRun, on_delete=models.CASCADE, related_name="samples")
    order = models.PositiveIntegerField()
    block = models.PositiveIntegerField()
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    prompt = models.CharField(max_length=64)
    round = models.PositiveIntegerField()
    is_cold = models.BooleanField()
    is_outlier = models.BooleanField()
    started_at = models.DateTimeField()
    status = models.CharField(max_length=16)
    error_code = models.CharField(max_length=64, blank=True)
    latency_ms = models.FloatField()
    ttft_ms = models.FloatField(null=True)
    last_token_ms = models.FloatField(null=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True)
    record_id = models.UUIDField()

    class Meta:
        ordering = ("run", "order")
        constraints = (
            models.UniqueConstraint(fields=("run", "order"), name="benchmark_sample_once"),
        )

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.order}"
