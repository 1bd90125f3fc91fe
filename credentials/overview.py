"""What pages tell about a key that is not in its row: its cost, its tests, what ends with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from credentials.models import LLMCredential
from credentials.refusals import REFUSALS, in_words, with_source
from credentials.validation import Validation


def month_costs(user: Any) -> Mapping[uuid.UUID, Decimal | None]:
    """What each key has cost its owner since the month began (UTC), in USD. A key without calls
    is absent, one whose calls all have no known price has None."""
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    calls = user.usage_records.filter(created_at__gte=month).exclude(credential=None)
    return dict(calls.order_by().values_list("credential").annotate(Sum("cost_usd")))


@dataclass(frozen=True, slots=True)
class Ends:
    """What stops working with a key: how many sessions, and access tokens pinned to it."""

    sessions: int
    tokens: int


def what_ends(credential: LLMCredential) -> Ends:
    return Ends(
        sessions=credential.agent_sessions.exclude(status="terminated").count(),
        tokens=credential.access_tokens.valid().count(),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """How a test went. `level` is a message's: success, warning or error; `status` is HTTP's."""

    level: str
    sentence: str
    status: int = 200
    retry_after: float | None = None


def report_test(provider: str, test: Callable[[], Validation]) -> Report:
    """Runs the test; one that can't be made has a report too."""
    try:
        return _report(test())
    except REFUSALS as error:
        level = "warning" if error.status in (429, 503) else "error"
        wait = getattr(error, "retry_after", None)
        return Report(level, in_words(error, provider), error.status, wait)


def _report(test: Validation) -> Report:
    took = f"The answer took {test.latency_ms:,.0f} ms."
    if not test.is_valid:
        return Report("error", with_source(f"{test.message} {took}", test.provider))
    unknown_model = test.model_name and test.models and test.model_name not in test.models
    return Report("warning" if unknown_model else "success", f"{test.message} {took}")
