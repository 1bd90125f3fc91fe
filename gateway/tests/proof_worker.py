"""What the proofs with real servers do on their database: `python -m gateway.tests.proof_worker`
followed by `seed CALLS`, `pin PROVIDER` or `verify LOG`. Each prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.utils import timezone  # noqa: E402

from agents.models import AgentSession, SessionStatus  # noqa: E402
from agents.running import fail_lost_turns  # noqa: E402
from credentials.models import AccessToken, LLMCredential  # noqa: E402
from credentials.services import add_credential  # noqa: E402
from credentials.tests.factories import SIMULATOR_KEYS  # noqa: E402
from gateway.tests.under_load import QUESTION  # noqa: E402
from usage import budgets  # noqa: E402
from usage.budget_models import nano_usd  # noqa: E402
from usage.ceiling import ceiling  # noqa: E402
from usage.models import Budget, Reservation, UsageRecord  # noqa: E402
from usage.prices import most_that_it_costs  # noqa: E402
from usage.rollups import roll_up  # noqa: E402
from usage.summary import totals_of  # noqa: E402


def seed(calls: str) -> dict[str, Any]:
    """Alice with keys and a token, and hard budgets for so many calls: hers, and everyone's."""
    alice = User.objects.create_user("alice")
    for provider in ("openai", "anthropic", "google"):
        add_credential(owner=alice, provider=provider, api_key=SIMULATOR_KEYS[provider])
    _, token = AccessToken.issue(user=alice, name="program")
    cost = most_that_it_costs("openai", QUESTION["model"], ceiling(QUESTION), timezone.now())
    assert cost is not None
    for user in (alice, None):
        Budget.objects.create(name="Lunch", user=user, limit_units=int(calls) * nano_usd(cost))
    return {"token": token}


def pin(provider: str) -> dict[str, Any]:
    """A token of alice's that is pinned to her key for a provider."""
    credential = LLMCredential.objects.get(provider=provider)
    row, token = AccessToken.issue(user=credential.owner, name="pinned", credential=credential)
    return {"token": token, "token_id": row.pk, "credential_id": str(credential.pk)}


def verify(log: str) -> dict[str, Any]:
    """What there is once the jobs have cleared what a dead process left behind; their waiting is
    cut short by the clock of its rows."""
    received = set(Path(log).read_text().split())
    found: dict[str, Any] = {"left": Reservation.objects.count(), "received": len(received)}
    Reservation.objects.update(expires_at=timezone.now())
    budgets.reclaim()
    AgentSession.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    fail_lost_turns()
    roll_up()
    rows = {str(pk) for pk in UsageRecord.objects.values_list("pk", flat=True)}
    spent = UsageRecord.objects.aggregate(cost=Sum("cost_usd"))["cost"]
    all_budgets = budgets.fresh(Budget.objects.all())
    return found | {
        "rows": len(rows),
        "without_row": len(received - rows),
        "held": Reservation.objects.count(),
        "reserved": sum(budget.reserved_units for budget in all_budgets),
        "spent_as_the_ledger": all(b.spent_units == nano_usd(spent) for b in all_budgets),
        "within_limit": all(budget.spent_units <= budget.limit_units for budget in all_budgets),
        "running": AgentSession.objects.filter(status=SessionStatus.RUNNING).count(),
        "rolled_up": totals_of(0).calls,
    }


if __name__ == "__main__":
    print(json.dumps({"seed": seed, "pin": pin, "verify": verify}[sys.argv[1]](sys.argv[2])))
