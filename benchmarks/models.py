"""Runs: what is planned, how far it has come, what came of it, and a row per call.

A run is carried out by one or more shards, each a share of its calls in the hands of one
process. All that is known of a run stands here, so that it can be carried out anywhere, watched,
cancelled, and gone on with after a crash.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from benchmarks.schedule_models import BenchmarkSchedule
from credentials.models import AccessToken

__all__ = [
    "BenchmarkRun",
    "BenchmarkSample",
    "BenchmarkSchedule",
    "BenchmarkShard",
    "RunStatus",
]

LOST_AFTER = timedelta(seconds=30)  # without a heartbeat, which a shard gives every second
MOST_ATTEMPTS = 3  # to carry out a shard without a single call that was written down


class RunStatus(models.TextChoices):
    PENDING = "pending", "Waiting to start"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    OUT_OF_MONEY = "out_of_money", "Stopped by a limit of cost"
    INTERRUPTED = "interrupted", "Interrupted"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


UNDER_WAY = (RunStatus.PENDING, RunStatus.RUNNING)


class BenchmarkRunQuerySet(models.QuerySet["BenchmarkRun"]):
    def of(self, owner_id: Any) -> Self:
        """One user's; None: those made with the operator's or the simulator's keys."""
        return self.filter(owner_id=owner_id)

    def owned_by(self, user: Any) -> Self:
        return self.of(user.pk) if user.pk else self.none()

    def under_way(self) -> Self:
        return self.filter(status__in=UNDER_WAY)

    def light(self) -> Self:
        """For lists: without what they came to and without the prompts, which may be long; what
        was compared is their `contenders`."""
        heavy = ("plan", "summary", "sweep", "verdicts", "environment")
        return self.defer(*heavy).annotate(contenders=models.F("plan__contenders"))


class BenchmarkRun(models.Model):
    """`plan`, `summary`, `sweep`, `verdicts`, `harness_error` and `environment` are as in the JSON
    file of results, whose fields docs/reference/benchmark-json.md describes; all but the first are
    written at the end.

    `done` of `total` calls have their row. `error` is a sentence, for people, about why it ended
    early. `refused` is why a contender had to be left out, by its place in the plan.

    A task worker carries out a run `in_background`, and was last told so at `enqueued_at`; calls
    count in the budgets of `access_token`, if a program asked for it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="benchmark_runs",
    )
    status = models.CharField(max_length=16, choices=RunStatus, default=RunStatus.PENDING)
    is_simulated = models.BooleanField()
    schema_version = models.PositiveSmallIntegerField()
    plan = models.JSONField()
    refused = models.JSONField(default=dict)
    environment = models.JSONField(default=dict)
    summary = models.JSONField(default=list)
    sweep = models.JSONField(default=list)
    verdicts = models.JSONField(default=list)
    harness_error = models.JSONField(null=True)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)
    in_background = models.BooleanField(default=False)
    enqueued_at = models.DateTimeField(null=True)
    access_token = models.ForeignKey(AccessToken, on_delete=models.SET_NULL, null=True, blank=True)
    schedule = models.ForeignKey(
        BenchmarkSchedule, on_delete=models.SET_NULL, null=True, blank=True, related_name="runs"
    )
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    contenders: Any  # of those that are `light()`

    objects = BenchmarkRunQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("owner", "-created_at"), name="benchmark_run_of_owner"),)

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M} ({self.status})"

    @property
    def is_under_way(self) -> bool:
        return self.status in UNDER_WAY


class BenchmarkShardQuerySet(models.QuerySet["BenchmarkShard"]):
    def open(self) -> Self:
        return self.filter(ended_at=None)

    def held(self, now: datetime) -> Self:
        """Being carried out right now."""
        return self.open().filter(claim__isnull=False, heartbeat_at__gte=now - LOST_AFTER)

    def lost(self, now: datetime) -> Self:
        """In nobody's hands any more: their process has died."""
        return self.open().filter(claim__isnull=False, heartbeat_at__lt=now - LOST_AFTER)

    def with_money(self) -> Self:
        """With calls under way for which money is set aside."""
        return self.filter(reserved__gt=0)

    def free(self, now: datetime) -> Self:
        """To be carried out: not yet begun, or lost."""
        return self.open().filter(claim=None) | self.lost(now)

    def give_up(self, status: RunStatus, error: str) -> int:
        """Ends them unfinished. Calls that were under way may have been charged for."""
        return self.update(
            ended_at=timezone.now(),
            ended_as=status,
            error=error,
            spent=models.F("spent") + models.F("reserved"),
            reserved=0,
        )


class BenchmarkShard(models.Model):
    """A share of a run's calls. Who carries it out holds it by `claim` for as long as it gives
    heartbeats; `attempts` counts who did since the last call that was written down. Money is in
    billionths of a dollar: `reserved` is set aside for calls under way."""

    run = models.ForeignKey(BenchmarkRun, on_delete=models.CASCADE, related_name="shards")
    number = models.PositiveSmallIntegerField()
    claim = models.UUIDField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    ended_as = models.CharField(max_length=16, choices=RunStatus, blank=True)
    error = models.TextField(blank=True)
    harness = models.JSONField(default=dict)  # the stopwatch's errors by level, in its process
    spent = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)

    objects = BenchmarkShardQuerySet.as_manager()

    class Meta:
        ordering = ("run", "number")
        constraints = (
            models.UniqueConstraint(fields=("run", "number"), name="benchmark_shard_once"),
        )

    def __str__(self) -> str:
        return f"{self.run_id} {self.number}"


class BenchmarkSample(models.Model):
    """One call. Calls of the same `block` were made around the same time, one per contender, with
    `level` calls at a time.

    `record_id` is the id of its row in the usage ledger, which may outlive or precede it.
    `is_outlier` is known at the end of the run. docs/benchmarking.md defines the times.
    """

    run = models.ForeignKey(BenchmarkRun, on_delete=models.CASCADE, related_name="samples")
    order = models.PositiveIntegerField()
    block = models.PositiveIntegerField()
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    credential_id = models.UUIDField(null=True)
    prompt = models.CharField(max_length=64)
    round = models.PositiveIntegerField()
    level = models.PositiveSmallIntegerField(default=1)
    is_cold = models.BooleanField()
    is_outlier = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    status = models.CharField(max_length=16)
    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=16, blank=True)
    latency_ms = models.FloatField()
    ttft_ms = models.FloatField(null=True)
    first_event_ms = models.FloatField(null=True)
    first_visible_ms = models.FloatField(null=True)
    last_token_ms = models.FloatField(null=True)
    prepare_ms = models.FloatField(default=0.0)
    connect_ms = models.FloatField(null=True)
    wait_ms = models.FloatField(null=True)
    true_ttft_ms = models.FloatField(null=True)
    true_latency_ms = models.FloatField(null=True)
    model_served = models.CharField(max_length=128, blank=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    counted_tokens = models.PositiveIntegerField(null=True)
    usage_source = models.CharField(max_length=9, blank=True)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True)
    unit_prices = models.JSONField(default=dict)
    price_source = models.CharField(max_length=60, blank=True)
    paid_by = models.CharField(max_length=6, blank=True)
    is_simulated = models.BooleanField(default=False)
    preview = models.TextField(blank=True)
    passed = models.BooleanField(null=True)
    failed_checks = models.JSONField(default=list)
    record_id = models.UUIDField()

    class Meta:
        ordering = ("run", "order")
        constraints = (
            models.UniqueConstraint(fields=("run", "order"), name="benchmark_sample_once"),
        )

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.order}"
