"""Testing keys over the API, and what it does to them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from rest_framework.test import APIClient

from credentials.audit import AuditEvent
from credentials.models import LLMCredential
from credentials.tests.factories import SIMULATOR_KEYS, CredentialFactory
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/llm-credentials"
FIELDS = {
    "is_valid", "provider", "model_name", "message", "latency_ms", "tested_at", "models",
}  # fmt: skip


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_a_good_key_is_valid_and_lists_its_models(
    api: APIClient, simulator: Any, provider: str
) -> None:
    body = {"provider": provider, "api_key": SIMULATOR_KEYS[provider]}
    response = api.post(f"{URL}/validate", body, format="json")

    answer = response.json()
    assert (response.status_code, answer.keys()) == (200, FIELDS)
    assert answer["is_valid"] and answer["models"] and answer["latency_ms"] > 0
    assert not LLMCredential.objects.exists()
    row = UsageRecord.objects.get()
    assert (row.surface, row.status, row.cost_usd) == ("validation", "ok", Decimal(0))


@pytest.mark.parametrize(("fault", "said"), [("401", "does not accept"), ("403", "permissions")])
def test_a_refused_key_is_not_valid_and_says_why(
    api: APIClient, simulator: Any, fault: str, said: str
) -> None:
    body = {"provider": "openai", "api_key": f"sk-sim-{fault}-1234567890"}
    answer = api.post(f"{URL}/validate", body, format="json").json()

    assert not answer["is_valid"]
    assert said in answer["message"]
    assert f"sk-sim-{fault}" not in str(answer)


@pytest.mark.parametrize("fault", ["500", "503", "garbage"])
def test_a_provider_that_cannot_be_asked_says_nothing_of_the_key(
    api: APIClient, alice: User, simulator: Any, fault: str
) -> None:
    row = CredentialFactory.create(owner=alice, key=f"sk-sim-{fault}-1234567890")
    response = api.post(f"{URL}/{row.pk}/validate")

    assert (response.status_code, response.json()["code"]) == (503, "cannot_test")
    row.refresh_from_db()
    assert row.state == "active"


def test_a_server_that_is_not_there_is_a_503(api: APIClient, simulator: Any) -> None:
    body = {
        "provider": "openai_compatible",
        "api_key": "my-own-server-key",
        "base_url": "http://127.0.0.1:9/v1",
    }
    assert api.post(f"{URL}/validate", body, format="json").status_code == 503


def test_an_unknown_model_is_told_with_near_names(api: APIClient, simulator: Any) -> None:
    body = {"provider": "openai", "api_key": SIMULATOR_KEYS["openai"], "model_name": "gpt-4o-mini2"}
    answer = api.post(f"{URL}/validate", body, format="json").json()

    assert answer["is_valid"]
    assert "gpt-4o-mini2 is not among them. Near names: gpt-4o-mini" in answer["message"]


def test_a_successful_test_lifts_the_quarantine(
    api: APIClient, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice)
    row.quarantine("refused")
    row.save()

    assert api.post(f"{URL}/{row.pk}/validate").json()["is_valid"]
    row.refresh_from_db()
    assert row.state == "active" and row.last_validated_at is not None


def test_a_refused_test_begins_a_quarantine(api: APIClient, alice: User, simulator: Any) -> None:
    row = CredentialFactory.create(owner=alice, key="sk-sim-401-1234567890")

    assert not api.post(f"{URL}/{row.pk}/validate").json()["is_valid"]
    row.refresh_from_db()
    assert row.state == "quarantined" and "does not accept" in row.quarantine_reason


def test_a_key_is_not_stored_unless_its_test_succeeds(api: APIClient, simulator: Any) -> None:
    body = {"provider": "openai", "api_key": "sk-sim-401-1234567890", "validate": True}
    response = api.post(URL, body, format="json")

    assert (response.status_code, response.json()["code"]) == (400, "new_key_failed")
    assert not LLMCredential.objects.exists()


def test_patching_a_key_tests_the_new_one_and_swaps_it(
    api: APIClient, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice)
    response = api.patch(f"{URL}/{row.pk}", {"api_key": "sk-sim-ok-0987654321"}, format="json")

    assert response.status_code == 200
    assert response.json()["api_key_masked"] == "********4321"
    row.refresh_from_db()
    assert row.api_key.reveal("test") == "sk-sim-ok-0987654321"
    assert row.last_validated_at is not None
    assert AuditEvent.objects.filter(action="rotate").count() == 1


@pytest.mark.parametrize(
    ("key", "status"), [("sk-sim-401-12345678", 400), ("sk-sim-500-12345", 503)]
)
def test_a_new_key_that_fails_its_test_leaves_the_old_one(
    api: APIClient, alice: User, simulator: Any, key: str, status: int
) -> None:
    row = CredentialFactory.create(owner=alice)
    response = api.patch(f"{URL}/{row.pk}", {"api_key": key}, format="json")

    assert response.status_code == status
    row.refresh_from_db()
    assert row.api_key.reveal("test") == SIMULATOR_KEYS["openai"]


def test_the_default_is_put(api: APIClient, alice: User) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    row = CredentialFactory.create(owner=alice)

    assert api.put(f"{URL}/{row.pk}/default").json()["is_default"]
    assert LLMCredential.objects.get(is_default=True) == row


@pytest.mark.parametrize(
    ("verb", "path"), [("put", "/default"), ("post", "/validate"), ("get", "")]
)
def test_foreign_keys_are_not_there_for_actions_either(
    api: APIClient, bob: User, simulator: Any, verb: str, path: str
) -> None:
    foreign = CredentialFactory.create(owner=bob)
    absent = "00000000-0000-4000-8000-000000000000"

    answers = [getattr(api, verb)(f"{URL}/{pk}{path}") for pk in (foreign.pk, absent)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_an_expiry_in_the_past_is_refused(api: APIClient) -> None:
    body = {"provider": "openai", "api_key": "sk-proj-12345678", "expires_at": "2020-01-01T00:00Z"}
    response = api.post(URL, body, format="json")

    assert response.status_code == 400
    assert "passed already" in response.json()["detail"]


def test_a_call_that_the_provider_refuses_puts_the_key_into_quarantine(
    api: APIClient, alice: User, simulator: Any, django_capture_on_commit_callbacks: Any
) -> None:
    row = CredentialFactory.create(owner=alice, key="sk-sim-401-1234567890")
    session = api.post("/api/v1/agent/sessions", {"credential_id": str(row.pk)}, format="json")
    messages = f"/api/v1/agent/sessions/{session.json()['id']}/messages"
    with django_capture_on_commit_callbacks(execute=True):
        first = api.post(messages, {"content": "Hello"}, format="json")
    second = api.post(messages, {"content": "Hello"}, format="json")

    assert first.json()["code"] == "authentication_failed"
    assert (second.status_code, second.json()["code"]) == (409, "credential_quarantined")
    assert "Test it again" in second.json()["detail"]
    assert [message.subject for message in mail.outbox] == [
        "Your OpenAI key ********7890 stopped working"
    ]
    assert "sk-sim-401" not in mail.outbox[0].body


def test_a_call_that_works_is_noted_as_use_and_as_validation(
    api: APIClient, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice)
    session = api.post("/api/v1/agent/sessions", {"credential_id": str(row.pk)}, format="json")
    messages = f"/api/v1/agent/sessions/{session.json()['id']}/messages"
    api.post(messages, {"content": "Hello"}, format="json")

    row.refresh_from_db()
    assert row.last_used_at is not None and row.last_used_at == row.last_validated_at
