"""What providers have billed beside what the ledger says, as it was compared."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.db import models


def drift(ours: Decimal, theirs: Decimal) -> Decimal | None:
    """By how many percent the ledger is above (or, negative, below) the provider's figure; None
    where the provider has billed nothing."""
    return (ours - theirs) * 100 / theirs if theirs else None


class Reconciliation(models.Model):
    """One comparison: `manage.py reconcile`. Sums are USD, days are UTC's."""

    provider = models.CharField(max_length=32)
    source = models.CharField(max_length=200, help_text="The name of the file.")
    scope = models.CharField(max_length=100, blank=True, help_text="Which calls were compared.")
    first_day = models.DateField()
    last_day = models.DateField()
    ours_usd = models.DecimalField(max_digits=24, decimal_places=9)
    theirs_usd = models.DecimalField(max_digits=24, decimal_places=9)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.provider} {self.first_day} to {self.last_day}"

    @property
    def drift(self) -> Decimal | None:
        return drift(self.ours_usd, self.theirs_usd)


class ReconciliationRow(models.Model):
    """One day and model; `model` is empty where the provider's figures tell none apart."""

    run = models.ForeignKey(Reconciliation, on_delete=models.CASCADE, related_name="rows")
    day = models.DateField()
    model = models.CharField(max_length=128, blank=True)
    ours_usd = models.DecimalField(max_digits=24, decimal_places=9)
    theirs_usd = models.DecimalField(max_digits=24, decimal_places=9)

    class Meta:
        ordering: ClassVar = ["-day", "model"]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"

    @property
    def drift(self) -> Decimal | None:
        return drift(self.ours_usd, self.theirs_usd)
