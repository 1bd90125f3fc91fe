"""The ledger: one row for every provider call, whoever made it and however it ended."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum

from credentials.models import AccessToken, LLMCredential
from providers import registry
from usage.alert_models import Alert, AlertDelivery, AlertPreference
from usage.budget_models import Budget, Reservation
from usage.change_models import Change
from usage.daily import DailyUsage, PendingRollup, RollupLock
from usage.price_models import PriceList, PriceOverride
from usage.reconciliation_models import Reconciliation, ReconciliationRow

__all__ = [
    "IS_CALL",
    "Immutable",
    "Alert",
    "AlertDelivery",
    "AlertPreference",
    "Budget",
    "Change",
    "DailyUsage",
    "PaidBy",
    "PendingRollup",
    "PriceList",
    "PriceOverride",
    "Reconciliation",
    "ReconciliationRow",
    "Reservation",
    "RollupLock",
    "Status",
    "Surface",
    "UsageQuerySet",
    "UsageRecord",
    "UsageSource",
]


class Surface(models.TextChoices):
    """The door that a call came in by."""

    AGENT = "agent", "Chat page"
    API = "api", "API"
    GATEWAY = "gateway", "Gateway"
    BENCHMARK = "benchmark", "Benchmark"
    VALIDATION = "validation", "Key test"


class Status(models.TextChoices):
    OK = "ok", "OK"
    ERROR = "error", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class UsageSource(models.TextChoices):
    REPORTED = "reported", "Reported by the provider"
    ESTIMATED = "estimated", "Estimated"


class PaidBy(models.TextChoices):
    USER = "user", "Own key"
    SYSTEM = "system", "System key"


# Neither an earlier try of a call nor a correction.
IS_CALL = Q(attempt_of=None, corrects=None)


class Immutable(TypeError):
    """The ledger is never changed: a row that `corrects` another puts it right."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


class UsageQuerySet(models.QuerySet["UsageRecord"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        return self.filter(user_id=user.pk) if user.pk else self.none()

    def update(self, **fields: Any) -> int:
        raise Immutable

    def bulk_update(self, *args: Any, **kwargs: Any) -> int:
        raise Immutable

    def delete(self) -> tuple[int, dict[str, int]]:
        raise Immutable

    def retire(self) -> int:
        """Deletes rows whose time of keeping is over; returns how many. The one way out."""
        return super().delete()[0]

    def without_price(self) -> Any:
        """One dictionary per provider and model whose answers have no price yet."""
        return (
            self.filter(~_corrected(), cost_usd=None, status=Status.OK)
            .values("provider", "model")
            .annotate(
                calls=Count("id"),
                tokens=Sum("input_tokens") + Sum("output_tokens"),
                first=Min("created_at"),
                last=Max("created_at"),
            )
            .order_by("-calls", "provider", "model")
        )


def _corrected() -> Exists:
    """Whether another row corrects this one."""
    return Exists(UsageRecord.objects.filter(corrects=OuterRef("pk")))


_LISTED = ["-created_at", "-id", "status", "provider", "model", "surface"]


def _partial(name: str, *more: str) -> models.Index:
    has_one = Q(**{f"{name}__isnull": False})
    return models.Index(fields=[name, *more], condition=has_one, name=f"usage_with_{name}")


class UsageRecord(models.Model):
    """One provider call. `id` is the call id that receipts show.

    `input_tokens` includes cached tokens and `output_tokens` includes reasoning. `cost_usd` is
    null where no price is known: unknown is never 0. `unit_prices` (USD per million tokens) and
    `price_source` are kept as they were used.

    A call that was tried several times has a row for each try: `attempt_of` of the earlier ones
    is the id of the last one's, which receipts show and whose `retries` counts the earlier ones.

    A row is never changed. What was wrong is put right by a row that `corrects` it: its cost is
    the difference, its tokens are 0, and it is no call.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="usage_records",
        db_index=False,
    )
    credential = models.ForeignKey(
        LLMCredential, on_delete=models.SET_NULL, null=True, db_index=False
    )
    access_token = models.ForeignKey(
        AccessToken, on_delete=models.SET_NULL, null=True, db_index=False
    )
    session_id = models.UUIDField(null=True)
    attempt_of = models.UUIDField(null=True)
    corrects = models.ForeignKey(
        "self",
        on_delete=models.DO_NOTHING,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    surface = models.CharField(max_length=12, choices=Surface.choices)
    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    model_served = models.CharField(max_length=128, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cache_read_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    cache_write_1h_tokens = models.PositiveIntegerField(default=0)  # of cache_write_tokens
    service_tier = models.CharField(max_length=16, blank=True)
    usage_source = models.CharField(max_length=9, choices=UsageSource.choices)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=9, null=True)
    unit_prices = models.JSONField(default=dict)
    price_source = models.CharField(max_length=60, blank=True)
    latency_ms = models.FloatField()
    ttft_ms = models.FloatField(null=True)
    status = models.CharField(max_length=9, choices=Status.choices)
    error_code = models.CharField(max_length=40, blank=True)
    retries = models.PositiveSmallIntegerField(default=0)
    paid_by = models.CharField(max_length=6, choices=PaidBy.choices)
    is_simulated = models.BooleanField(default=False)
    request_id = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    # Of soft budgets, when the call was let in. Told with its receipt; no column.
    warnings: tuple[str, ...] = ()

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        # The two lists hold what people filter by, so that rows which don't match are passed over
        # in the index; each row is in the others only if it has what they are by.
        indexes: ClassVar = [
            models.Index(fields=["user", *_LISTED], name="usage_list_of_user"),
            models.Index(fields=_LISTED, name="usage_list"),
            _partial("credential", "-created_at", "-id"),
            _partial("access_token", "-created_at"),
            _partial("session_id"),
            _partial("attempt_of"),
            _partial("corrects"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} {self.status}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Immutable

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def provider_label(self) -> str:
        return registry.label(self.provider)
