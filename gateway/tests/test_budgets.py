"""A budget that is spent, as the clients of the gateway see it."""

from __future__ import annotations

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
