"""The thirteen lifecycle tests of the report this product grew from, over the REST API."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credentials.models import LLMCredential
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/llm-credentials"
SESSIONS = "/api/v1/agent/sessions"
OPENAI, ANTHROPIC = "sk-sim-ok-1234567890", "sk-ant-sim-ok-0987654321"


def create(api: APIClient, provider: str = "openai", key: str = OPENAI, **body: Any) -> Any:
    return api.post(URL, {"provider": provider, "api_key": key, **body}, format="json")


def run_agent(api: APIClient, **session: Any) -> dict[str, Any]:
    """Starts a session, asks one question; the receipt of the answer."""
    started = api.post(SESSIONS, session, format="json").json()
    question = {"content": "What is the capital of France?"}
    answer = api.post(f"{SESSIONS}/{started['id']}/messages", question, format="json")
    assert answer.json()["message"]["content"].startswith("Paris")
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


class TestLLMCredentialsIntegration:
    def test_01_create_credential(self, api: APIClient) -> None:
        response = create(api, model_name="gpt-4o-mini")

        assert response.status_code == 201
        assert response.json()["api_key_masked"] == "********7890"

    def test_02_list_credentials(self, api: APIClient) -> None:
        create(api)
        create(api, "anthropic", ANTHROPIC)

        listed = api.get(URL)
        assert [row["provider"] for row in listed.json()] == ["anthropic", "openai"]
        assert OPENAI not in listed.content.decode()

    def test_03_set_as_default(self, api: APIClient) -> None:
        create(api)
        second = create(api, "anthropic", ANTHROPIC).json()["id"]
        response = api.patch(f"{URL}/{second}", {"is_default": True}, format="json")

        assert response.json()["is_default"]
        assert LLMCredential.objects.filter(is_default=True).count() == 1

    def test_04_update_api_key(self, api: APIClient, simulator: Any) -> None:
        pk = create(api).json()["id"]
        response = api.patch(f"{URL}/{pk}", {"api_key": "sk-sim-ok-new-4321"}, format="json")

        assert response.json()["api_key_masked"] == "********4321"

    def test_05_delete_credential(self, api: APIClient) -> None:
        pk = create(api).json()["id"]

        assert api.delete(f"{URL}/{pk}").status_code == 204
        assert api.get(URL).json() == []
        assert LLMCredential.objects.filter(pk=pk, is_active=False).exists()

    def test_06_duplicate_prevention(self, api: APIClient) -> None:
        create(api)
        response = create(api)

        assert response.status_code == 400
        assert "already exists" in response.json()["detail"]

    def test_07_invalid_provider_validation(self, api: APIClient) -> None:
        response = create(api, provider="unsupported")

        assert response.status_code == 400
        assert "Supported: openai, anthropic, google" in response.json()["detail"]

    def test_08_agent_session_integration(self, api: APIClient, simulator: Any) -> None:
        pk = create(api).json()["id"]

        assert run_agent(api, credential_id=pk)["credential_id"] == pk
        assert UsageRecord.objects.get().paid_by == "user"

    def test_09_default_credential_selection(self, api: APIClient, simulator: Any) -> None:
        pk = create(api).json()["id"]

        assert run_agent(api)["credential_id"] == pk

    def test_10_credential_switching(self, api: APIClient, simulator: Any) -> None:
        one = create(api).json()["id"]
        two = create(api, "anthropic", ANTHROPIC).json()["id"]
        used = [run_agent(api, credential_id=pk)["provider"] for pk in (one, two)]

        assert used == ["openai", "anthropic"]
        keys = [entry.key_sha256 for entry in simulator.app.log]
        assert keys == [hashlib.sha256(key.encode()).hexdigest() for key in (OPENAI, ANTHROPIC)]

    def test_11_validation_workflow(self, api: APIClient, simulator: Any) -> None:
        body = {"provider": "openai", "api_key": OPENAI}
        answer = api.post(f"{URL}/validate", body, format="json").json()

        assert answer["is_valid"] and "gpt-4o-mini" in answer["models"]
        assert create(api, validate=True).json()["last_validated_at"]

    def test_12_post_use_validation(self, api: APIClient, simulator: Any) -> None:
        pk = create(api).json()["id"]
        assert LLMCredential.objects.get().last_validated_at is None
        run_agent(api, credential_id=pk)

        row = LLMCredential.objects.get()
        assert row.last_used_at is not None and row.last_validated_at is not None

    def test_13_security_isolation(self, api: APIClient, bob: User, api_as: Any) -> None:
        pk = create(api).json()["id"]
        theirs = api_as(bob)

        assert theirs.get(URL).json() == []
        assert theirs.get(f"{URL}/{pk}").status_code == 404
        assert theirs.patch(f"{URL}/{pk}", {"label": "x"}, format="json").status_code == 404
        assert theirs.delete(f"{URL}/{pk}").status_code == 404
        session = theirs.post(SESSIONS, {"credential_id": pk}, format="json")
        assert session.status_code == 404
