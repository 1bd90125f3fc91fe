"""A budget that is spent, as the clients of the gateway see it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User

from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from usage.models import Budget, UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
HELLO: dict[str, Any] = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("path", "model", "kind"),
    [
        ("/v1/chat/completions", "gpt-4o-mini", ("type", "rate_limit_error")),
        ("/v1/messages", "claude-haiku-4-5", ("type", "rate_limit_error")),
        ("/v1beta/models/gemini-2.5-flash:generateContent", "", ("status", "RESOURCE_EXHAUSTED")),
    ],
)
def test_a_spent_budget_is_a_rate_limit_that_no_sdk_retries(
    simulator: Any, server: str, alice: User, path: str, model: str, kind: tuple[str, str]
) -> None:
    for provider in ("openai", "anthropic", "google"):
        CredentialFactory.create(owner=alice, provider=provider)
    Budget.objects.create(name="Lunch", user=alice, limit_units=1)
    _, token = AccessToken.issue(user=alice, name="program")
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx2.post(server + path, json={"model": model, **HELLO}, headers=headers)

    assert (answer.status_code, answer.headers["x-should-retry"]) == (429, "false")
    error = answer.json()["error"]
    assert error[kind[0]] == kind[1]
    assert "“Lunch” has no room" in error["message"] and "It resets on" in error["message"]
    assert not simulator.app.log and not UsageRecord.objects.exists()


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_soft_budget_that_is_overdrawn_is_told_in_a_header(
    simulator: Any, server: str, alice: User, streams: bool
) -> None:
    CredentialFactory.create(owner=alice)
    Budget.objects.create(name="Mittagessen für zwei", user=alice, limit_units=1, is_hard=False)
    _, token = AccessToken.issue(user=alice, name="program")
    answer = httpx2.post(
        f"{server}/v1/chat/completions",
        json={"model": "gpt-4o-mini", "stream": streams, **HELLO},
        headers={"authorization": f"Bearer {token}", "x-sim-ttft-ms": "1", "x-sim-itl-ms": "0"},
    )

    assert answer.status_code == 200
    assert answer.headers["x-byom-warning"] == 'The budget "Mittagessen f?r zwei" is overdrawn.'


def test_what_is_free_needs_no_room_in_a_budget_and_no_price(
    simulator: Any, server: str, alice: User
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")
    spent = Budget.objects.create(name="Lunch", user=alice, limit_units=0, refuses_unpriced=True)
    _, token = AccessToken.issue(user=alice, name="program")
    headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
    with httpx2.Client(base_url=server, headers=headers) as http:
        counted = http.post(
            "/v1/messages/count_tokens",
            json={"model": "claude-haiku-4-5", "messages": HELLO["messages"]},
        )
        models = http.get("/v1/models")
        refused = http.post("/v1/messages", json={"model": "claude-haiku-4-5", **HELLO})

    assert (counted.status_code, models.status_code) == (200, 200)
    assert refused.status_code == 429
    spent.refresh_from_db()
    assert (spent.spent_units, spent.reserved_units) == (0, 0)
    costs = UsageRecord.objects.values_list("cost_usd", "price_source")
    assert set(costs) == {(Decimal(0), "free of charge")} and len(costs) == 2
