"""Admission: may this call be made now?

    NotAdmitted
    ├── TooManyCalls  faster than the limit of calls a minute
    └── BudgetSpent   a hard budget has no room for the most that the call can cost

Nothing has been sent to a provider then, and nothing is in the ledger.
"""

from __future__ import annotations

from django.conf import settings

from credentials.limits import buckets
from providers.vocabulary import Usage
from usage.ledger import OpenCall
from usage.signals import call_refused


class NotAdmitted(Exception):
    """This call is not admitted. Try again in {seconds} seconds."""

    status = 429
    code = "not_admitted"

    def __init__(self, retry_after: float | None, **facts: object) -> None:
        self.retry_after = retry_after
        seconds = "" if retry_after is None else f"{retry_after:.1f}"
        sentence = " ".join((type(self).__doc__ or "").split())
        super().__init__(sentence.format(seconds=seconds, **facts))


class TooManyCalls(NotAdmitted):
    """You are making calls faster than the limit of {limit} a minute. Wait {seconds} seconds."""

    code = "too_many_calls"
    retry_after: float


class BudgetSpent(NotAdmitted):
    """The budget {name} has no room for this call: {spent} of {limit} are spent and {reserved}
    set aside for calls under way, and this one can cost up to {most}. It resets {resets}."""

    status = 402
    code = "budget_spent"


def admit(call: OpenCall, most: Usage) -> None:
    """Lets one call through, or raises a NotAdmitted. `most` is the most that it can use.

    Uses the database: wrap it where a loop runs.
    """
    try:
        _admit(call, most)
    except NotAdmitted as error:
        call_refused.send_robust(OpenCall, error=error)
        raise


def _admit(call: OpenCall, most: Usage) -> None:
    user_id = call.caller.user_id
    wait = buckets().take(f"calls:{user_id}", settings.CALLS_PER_MINUTE, 60.0)
    if wait:
        raise TooManyCalls(wait, limit=settings.CALLS_PER_MINUTE)
