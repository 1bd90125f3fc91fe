"""Raising alerts: `check` looks at budgets, spending, failures and keys, and tells people once.

What is told is a row of `Alert`, unique by person and key: however many processes look at the
same time, it is raised once. `usage.deliveries` brings it to people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from credentials.models import LLMCredential
from usage.admission import told
from usage.alert_models import Alert, AlertDelivery, AlertPreference, Kind
from usage.daily import EVERYONE, Dimension
from usage.models import IS_CALL, Budget, DailyUsage, Status, UsageRecord
from usage.spikes import WEEKS, Spike, spike_on
from usage.templatetags.usage_format import usd

STEPS = (100, 80, 50)  # percent of a budget
ERROR_WINDOW = timedelta(minutes=15)
ERROR_SHARE = 0.5
FEWEST_CALLS = 20
REMINDER_DAYS = (1, 7)


def check() -> dict[str, int]:
    """Everything that a timer looks at; how many alerts were raised."""
    jobs = {
        "budgets": check_budgets,
        "spikes": check_spikes,
        "errors": check_errors,
        "keys": check_keys,
    }
    return {name: job() for name, job in jobs.items()}


def tell(
    *, user: Any, kind: Kind, key: str, title: str, text: str, facts: Mapping[str, Any]
) -> bool:
    """Raises one alert, unless this person was told already. Delivery follows on its own."""
    line = " ".join(title.split())[:200]
    with transaction.atomic():
        alert, is_new = Alert.objects.get_or_create(
            user=user,
            key=key,
            defaults={"kind": kind, "title": line, "text": text[:1000], "facts": facts},
        )
        if is_new:
            AlertDelivery.objects.bulk_create(
                AlertDelivery(alert=alert, channel=channel, next_at=timezone.now())
                for channel in AlertPreference.of(user).channels(kind)
            )
    return is_new


def staff() -> Iterable[Any]:
    """Who hears of what concerns everyone."""
    return get_user_model().objects.filter(is_staff=True, is_active=True)


def people(user_id: int) -> Iterable[Any]:
    if user_id == EVERYONE:
        return staff()
    return get_user_model().objects.filter(pk=user_id, is_active=True)


# Budgets -----------------------------------------------------------------------------


def check_budgets() -> int:
    rows = Budget.objects.filter(is_active=True, limit_units__gt=0, rolls_at__gt=timezone.now())
    rows = rows.select_related("user", "access_token__user", "credential__owner")
    return sum(_check_budget(budget) for budget in rows if budget.percent >= min(STEPS))


def _check_budget(budget: Budget) -> int:
    step = next(step for step in STEPS if budget.percent >= step)
    start = budget.rolls_at.date() if budget.is_rolling else budget.counted_from
    facts = {
        "budget": budget.name,
        "percent": budget.percent,
        "spent": f"{budget.spent:f}",
        "limit": f"{budget.limit:f}",
        "unit": budget.unit,
    }
    text = f"{told(budget, budget.spent)} of {told(budget, budget.limit)} are spent." + (
        " Further calls are refused." if budget.is_hard and step == 100 else ""
    )
    return sum(
        tell(
            user=person,
            kind=Kind.BUDGET,
            key=f"budget:{budget.pk}:{start.isoformat()}:{step}",
            title=f"The budget “{budget.name}” is {budget.percent}% spent",
            text=text,
            facts=facts,
        )
        for person in _whose(budget)
    )


def _whose(budget: Budget) -> Iterable[Any]:
    if budget.user:
        return [budget.user]
    if budget.access_token:
        return [budget.access_token.user]
    if budget.credential:
        return [budget.credential.owner] if budget.credential.owner else staff()
    return staff()


# Spending ----------------------------------------------------------------------------


def check_spikes(today: date | None = None) -> int:
    """Of the day so far: a spike is told while it can still be stopped."""
    today = today or timezone.now().date()
    rows = DailyUsage.objects.filter(
        dimension=Dimension.ALL, day__gte=today - timedelta(weeks=WEEKS), day__lte=today
    )
    costs: dict[int, dict[date, float]] = defaultdict(dict)
    for owner, day, cost in rows.values_list("owner", "day", "cost_usd"):
        costs[owner][day] = float(cost)
    found = {owner: spike_on(today, by_day) for owner, by_day in costs.items()}
    return sum(_tell_spike(owner, today, spike) for owner, spike in found.items() if spike)


def _tell_spike(owner: int, day: date, spike: Spike) -> int:
    whose = "Everyone’s calls" if owner == EVERYONE else "Your calls"
    usual = f"a usual {day:%A} costs {_dollars(spike.usual)}"
    return sum(
        tell(
            user=person,
            kind=Kind.SPIKE,
            key=f"spike:{owner}:{day.isoformat()}",
            title=f"{whose} cost far more than usual today",
            text=f"{_dollars(spike.cost)} so far, and {usual}.",
            facts={"day": day.isoformat(), "cost_usd": spike.cost, "usual_usd": spike.usual},
        )
        for person in people(owner)
    )


def _dollars(amount: float) -> str:
    return usd(Decimal(f"{amount:.2f}"))


# Failing calls -------------------------------------------------------------------------


def check_errors(now: datetime | None = None) -> int:
    """Where half of at least FEWEST_CALLS in the last quarter of an hour failed. Told once in six
    hours."""
    now = now or timezone.now()
    rows = UsageRecord.objects.filter(IS_CALL, created_at__gt=now - ERROR_WINDOW)
    counts = rows.order_by().values("user_id").annotate(
        calls=Count("pk"), failed=Count("pk", filter=Q(status=Status.ERROR))
    )  # fmt: skip
    found = [(row["user_id"], row["calls"], row["failed"]) for row in counts]
    found.append((EVERYONE, sum(row[1] for row in found), sum(row[2] for row in found)))
    return sum(_check_failed(*row, now) for row in found if row[0] is not None)


def _check_failed(owner: int, calls: int, failed: int, now: datetime) -> int:
    if calls < FEWEST_CALLS or failed < calls * ERROR_SHARE:
        return 0
    whose = "of everyone’s calls" if owner == EVERYONE else "of your calls"
    return sum(
        tell(
            user=person,
            kind=Kind.ERRORS,
            key=f"errors:{owner}:{now:%Y-%m-%d}:{now.hour // 6}",
            title=f"{failed} {whose} failed",
            text=f"{failed} of {calls} in the last 15 minutes. The usage page says why.",
            facts={"calls": calls, "failed": failed},
        )
        for person in people(owner)
    )


# Keys ----------------------------------------------------------------------------------


def check_keys() -> int:
    now = timezone.now()
    rows = LLMCredential.objects.filter(is_active=True, owner__is_active=True)
    rows = rows.select_related("owner")
    soon = rows.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=max(REMINDER_DAYS)))
    raised = sum(_tell_expiring(credential, now) for credential in soon)
    return raised + sum(_tell_quarantined(row) for row in rows.exclude(quarantined_at=None))


def _tell_expiring(credential: LLMCredential, now: datetime) -> int:
    left = credential.expires_at - now  # type: ignore[operator]  # the filter excludes None
    days = next(days for days in REMINDER_DAYS if left <= timedelta(days=days))
    when = "tomorrow" if days == 1 else f"in {days} days"
    return _tell_key(credential, f"expires:{credential.expires_at}:{days}", f"expires {when}")


def _tell_quarantined(credential: LLMCredential) -> int:
    key = f"quarantined:{credential.quarantined_at}"
    return _tell_key(credential, key, "stopped working", credential.quarantine_reason)


def _tell_key(credential: LLMCredential, key: str, what: str, text: str = "") -> int:
    name = f"{credential.provider_label} key {credential.api_key_masked}"
    return tell(
        user=credential.owner,
        kind=Kind.KEYS,
        key=f"key:{credential.pk}:{key}",
        title=f"Your {name} {what}",
        text=text,
        facts={"credential_id": str(credential.pk), "provider": credential.provider},
    )
