"""docs/howto/add-a-provider.md, tried: a vendor of OpenAI's dialect is one row and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from agents.clients import select
from gateway.dialects import OPENAI, dialect_of
from providers import registry
from providers.registry import Provider, Wire
from providers.simulated import PATHS
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration, pytest.mark.usefixtures("acme")]
ACME = Provider(
    name="acme",
    label="Acme",
    adapter="providers.openai:OpenAIClient",
    base_url="https://api.acme.test/v1",
    default_model="llama-3.1-8b",
    key_help_url="https://acme.test/keys",
    key_prefixes=("acme_",),
    model_prefixes=("acme-",),
    wire=Wire(max_tokens="max_tokens"),
)


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row. Its path at the simulator follows from it, at import."""
    monkeypatch.setitem(registry._BY_NAME, ACME.name, ACME)
    monkeypatch.setitem(PATHS, ACME.name, PATHS["openai"])


def test_keys_sessions_and_the_ledger_take_the_new_vendor(api: APIClient, simulator: Any) -> None:
    body = {"provider": "acme", "label": "Acme", "api_key": "sim-ok-1234567890"}
    key = api.post("/api/v1/users/me/llm-credentials", body, format="json")
    assert key.status_code == 201, key.content
    credential = key.json()["id"]
    session = api.post("/api/v1/agent/sessions", {"credential_id": credential}, format="json")
    messages = f"/api/v1/agent/sessions/{session.json()['id']}/messages"
    answer = api.post(messages, {"content": "What is the capital of France?"}, format="json")

    assert answer.json()["message"]["content"].startswith("Paris")
    record = UsageRecord.objects.get()
    assert (record.provider, record.model, record.paid_by) == ("acme", "llama-3.1-8b", "user")
    assert record.cost_usd is None  # no pricing_id: unknown, not free


def test_a_models_name_leads_to_the_new_vendors_key(api: APIClient, alice: User) -> None:
    body = {"provider": "acme", "label": "Acme", "api_key": "acme_0123456789abcdef"}
    api.post("/api/v1/users/me/llm-credentials", body, format="json")

    chosen = select(user=alice, model="acme-small")
    assert (chosen.provider, chosen.model, chosen.base_url) == ("acme", "acme-small", None)
    assert chosen.address() == ACME.base_url


def test_the_form_for_keys_offers_the_new_vendor(alice: User, client: Client) -> None:
    client.force_login(alice)

    assert '<option value="acme">Acme</option>' in client.get("/keys/add/").content.decode()


def test_the_gateway_serves_the_new_vendor_in_its_dialect() -> None:
    assert dialect_of("acme") is OPENAI
    assert "acme" in OPENAI.providers
