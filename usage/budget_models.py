"""Budgets and what is set aside in them.

Amounts are integers of a budget's unit: tokens, or billionths of a dollar, the ledger's own
precision. Integers, because a conditional UPDATE has to compare sums exactly on every database,
and SQLite's decimals are floats.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Self
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from credentials.models import AccessToken, LLMCredential
from usage.periods import LENGTHS, Period, Window, window

if TYPE_CHECKING:
    from usage.models import UsageRecord

NANO = 10**9
NEVER_COUNTED = datetime(2000, 1, 1, tzinfo=UTC)  # the first look counts


def nano_usd(cost: Decimal) -> int:
    return int((cost * NANO).to_integral_value(ROUND_HALF_UP))


class Unit(models.TextChoices):
    USD = "usd", "US dollars"
    TOKENS = "tokens", "tokens"


def known_time_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValidationError(
            "This time zone is not known. Name it like Europe/Berlin.", code="unknown_time_zone"
        ) from None


class BudgetQuerySet(models.QuerySet["Budget"]):
    def owned_by(self, user: Any) -> Self:
        """Those that a person has made for themselves."""
        return self.filter(owner_id=user.pk) if user.pk else self.none()

    def given_to(self, user: Any) -> Self:
        """Those that staff have set for a person."""
        return self.filter(user_id=user.pk, is_active=True).exclude(owner_id=user.pk)

    def over(
        self, *, user_id: Any, access_token_id: int | None, credential_id: uuid.UUID | None
    ) -> Self:
        """Those that a call counts in, by who makes it and what pays."""
        counts = Q(user=None, access_token=None, credential=None)
        if user_id is not None:
            counts |= Q(user_id=user_id)
        if access_token_id is not None:
            counts |= Q(access_token_id=access_token_id)
        if credential_id is not None:
            counts |= Q(credential_id=credential_id)
        return self.filter(counts, is_active=True).order_by("pk")

    def locked(self) -> Self:
        """Locked in the order of their keys: no two who lock several wait for each other."""
        return self.select_for_update().order_by("pk")

    def take(self, pk: uuid.UUID, amount: int, *, hard: bool, now: datetime) -> bool:
        """Sets `amount` aside, in one statement: whoever comes at the same time waits for it. False
        if there is no room (or, also of a soft budget, a new period has begun)."""
        rows = self.filter(pk=pk, rolls_at__gt=now)
        if hard:
            rows = rows.filter(limit_units__gte=F("spent_units") + F("reserved_units") + amount)
        return bool(rows.update(reserved_units=F("reserved_units") + amount))

    def count_anew(self) -> int:
        """Every budget adds up the ledger again before its next call."""
        return self.update(rolls_at=NEVER_COUNTED)


class Budget(models.Model):
    """How much may be spent: by a person, an access token, a credential, or (none of them
    named) everyone.

    A hard budget refuses what it has no room for, a soft one only tells. `owner` may change it;
    None is staff. `spent_units` is what the ledger says of the time from `counted_from` on, up to
    `rolls_at`, when it has to be counted anew; `snapshot` is what the last such count has seen of
    the ledger (`usage.snapshots`), empty where the database does not tell.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="budgets",
    )
    access_token = models.ForeignKey(AccessToken, on_delete=models.CASCADE, null=True, blank=True)
    credential = models.ForeignKey(LLMCredential, on_delete=models.CASCADE, null=True, blank=True)
    unit = models.CharField(max_length=6, choices=Unit.choices, default=Unit.USD)
    limit_units = models.BigIntegerField(validators=[MinValueValidator(0)])
    period = models.CharField(max_length=5, choices=Period.choices, default=Period.MONTH)
    is_rolling = models.BooleanField(
        "rolling", default=False, help_text="The last 1, 7 or 30 days instead of the calendar's."
    )
    time_zone = models.CharField(max_length=40, default="UTC", validators=[known_time_zone])
    is_hard = models.BooleanField(
        "hard", default=True, help_text="Refuse calls that it has no room for."
    )
    refuses_unpriced = models.BooleanField(
        default=False,
        help_text="Refuse calls whose price is not known: they would count as nothing.",
    )
    is_active = models.BooleanField("active", default=True)
    spent_units = models.BigIntegerField(default=0, editable=False)
    reserved_units = models.BigIntegerField(default=0, editable=False)
    counted_from = models.DateTimeField(default=NEVER_COUNTED, editable=False)
    rolls_at = models.DateTimeField(default=NEVER_COUNTED, editable=False)
    snapshot = models.TextField(default="", db_default="", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="budget_of_one_thing",
                condition=Q(user=None, access_token=None)
                | Q(user=None, credential=None)
                | Q(access_token=None, credential=None),
                violation_error_message="A budget is for one person, token or credential.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A change of what people set leaves the counters to whoever counts, and has the ledger
        added up again: other rows may count now."""
        if not self._state.adding and kwargs.get("update_fields") is None:
            self.rolls_at = NEVER_COUNTED
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            kwargs["update_fields"] = names - {
                "spent_units", "reserved_units", "counted_from", "snapshot"
            }  # fmt: skip
        super().save(*args, **kwargs)

    @property
    def whose(self) -> str:
        """For people: `everyone`, or what the budget is for."""
        if self.user_id:
            return "me" if self.user_id == self.owner_id else str(self.user)
        if self.access_token_id:
            return f"token {self.access_token.name}" if self.access_token else ""
        return self.credential.name if self.credential else "everyone"

    def amount(self, units: int) -> Decimal:
        """In dollars, or in tokens."""
        return Decimal(units) / NANO if self.unit == Unit.USD else Decimal(units)

    def units(self, amount: Decimal) -> int:
        return nano_usd(amount) if self.unit == Unit.USD else int(amount)

    def refuses(self, cost: Decimal | None) -> bool:
        """Whether it lets no call through whose price is as little known as this."""
        return self.refuses_unpriced and self.unit == Unit.USD and cost is None

    @property
    def limit(self) -> Decimal:
        return self.amount(self.limit_units)

    @property
    def spent(self) -> Decimal:
        return self.amount(self.spent_units)

    @property
    def reserved(self) -> Decimal:
        return self.amount(self.reserved_units)

    @property
    def percent(self) -> int:
        """Of the limit, how much is spent; may be more than 100."""
        return self.spent_units * 100 // self.limit_units if self.limit_units else 100

    @property
    def when(self) -> str:
        """For people: `month`, or of a rolling one `30 days`."""
        if self.is_rolling:
            days = LENGTHS[Period(self.period)].days
            return "24 hours" if days == 1 else f"{days} days"
        return str(self.get_period_display())

    @property
    def is_due(self) -> bool:
        """Whether what it says of itself may be out of date."""
        return self.rolls_at <= timezone.now()

    @property
    def resets_at(self) -> datetime:
        """When this period ends, or a rolling one moves on."""
        return self.window(timezone.now()).end

    def window(self, now: datetime) -> Window:
        return window(Period(self.period), self.is_rolling, ZoneInfo(self.time_zone), now)

    def units_of(self, record: UsageRecord) -> int:
        """What a ledger row counts in this budget. Without a price it counts no dollars."""
        if self.unit == Unit.TOKENS:
            return record.total_tokens
        return nano_usd(record.cost_usd or Decimal(0))


class Reservation(models.Model):
    """The most that one call under way can cost in one budget. Gone once the call is settled, or,
    where the process that made it has died, some time after `expires_at`."""

    call_id = models.UUIDField()
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="reservations")
    units = models.BigIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["call_id", "budget"], name="one_reservation_a_call")
        ]

    def __str__(self) -> str:
        return f"{self.units} for {self.call_id}"
