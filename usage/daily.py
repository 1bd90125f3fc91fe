"""The ledger by day: what pages, summaries and alerts read instead of single rows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

EVERYONE = 0  # the owner of the rows that count everybody's calls


class Dimension(models.TextChoices):
    """What the calls of a day are told apart by: each dimension counts all of them once."""

    ALL = "all", "All"
    PROVIDER = "provider", "Provider"
    MODEL = "model", "Model"
    CREDENTIAL = "credential", "Key"
    SURFACE = "surface", "Surface"
    TOKEN = "token", "Access token"  # noqa: S105
    PAID_BY = "paid_by", "Who paid"
    USER = "user", "User"


class DailyUsage(models.Model):
    """One owner's calls of one day (UTC) with one value of one dimension.

    `owner` is a user's id or EVERYONE. There are no foreign keys: the books outlive what they
    name. Days × values of one dimension is all that a summary reads, however many calls there
    were and however they combine. A correction counts on the day of the call that it corrects.
    """

    owner = models.BigIntegerField()
    dimension = models.CharField(max_length=10, choices=Dimension.choices)
    day = models.DateField()
    value = models.CharField(max_length=170, blank=True)
    calls = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    simulated = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=24, decimal_places=9, default=0)
    unpriced = models.IntegerField(default=0)
    latency = models.JSONField(default=dict, help_text="Of calls that succeeded: bucket to calls.")
    first_token = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "daily usage"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "dimension", "day", "value"], name="one_row_per_day_and_value"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.dimension} {self.value}"


class PendingRollup(models.Model):
    """A ledger row that the roll-ups don't count yet.

    A trigger of the database writes it, in the transaction that writes the ledger row.
    """

    record_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.record_id)


class RollupLock(models.Model):
    """Its one row is locked by whoever changes roll-ups."""

    def __str__(self) -> str:
        return "The lock of the roll-ups"
