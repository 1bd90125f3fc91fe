"""What one message can ask for itself, and what is said before a call: parameters and fallback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from agents.models import AgentSession, Message
from agents.tests.test_turns import QUESTION, SESSIONS, start
from credentials.tests.factories import CredentialFactory
from providers import registry
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
SCHEMA = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}
DOWN = "sk-sim-500-1234567890"


def say(api: APIClient, session: str, **body: Any) -> Any:
    address = f"{SESSIONS}/{session}/messages"
    return api.post(address, {"content": QUESTION, **body}, format="json")


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "openai_compatible"])
def test_an_answer_fits_the_schema_that_its_message_asks_for(
    api: APIClient, alice: User, simulator: Any, provider: str
) -> None:
    model = registry.get(provider).default_model or "gpt-4o-mini"
    key = CredentialFactory.create(owner=alice, provider=provider, model_name=model)
    session = start(api, credential_id=str(key.pk))
    answer = say(api, session, params={"response_schema": SCHEMA})

    assert answer.status_code == 201, answer.content
    assert set(json.loads(answer.json()["message"]["content"])) == {"capital"}
    plain = say(api, session).json()["message"]["content"]
    assert plain.startswith("Paris")


def test_parameters_of_a_message_are_for_its_turn_only(
    api: APIClient, alice: User, simulator: Any
) -> None:
    session = start(api, params={"max_tokens": 3})
    told = [say(api, session, params=params) for params in ({"max_tokens": 1}, {})]

    assert [answer.json()["receipt"]["output_tokens"] for answer in told] == [1, 3]
    assert AgentSession.objects.get().params == {"max_tokens": 3}


def test_the_fallback_of_a_message_stands_in_the_place_of_the_sessions(
    api: APIClient, alice: User, simulator: Any, no_retry_waits: None
) -> None:
    down = CredentialFactory.create(owner=alice, key=DOWN)
    good = CredentialFactory.create(owner=alice, provider="google")
    other = CredentialFactory.create(owner=alice, provider="anthropic")
    chain = [{"credential_id": str(good.pk)}]
    session = start(api, credential_id=str(down.pk), fallback=chain)

    own = say(api, session, fallback=[{"credential_id": str(other.pk)}])
    assert own.json()["receipt"]["provider"] == "anthropic"
    none = say(api, session, fallback=[])
    assert (none.status_code, none.json()["code"]) in [(503, "overloaded"), (503, "suspended")]
    assert say(api, session).json()["receipt"]["provider"] == "google"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"fallback": [{"provider": "acme"}]}, 400, "unknown_provider"),
        ({"fallback": [{"credential_id": "x"}]}, 404, "not_found"),
        ({"fallback": [{}] * 6}, 400, "invalid"),
        ({"params": {"heat": 1}}, 400, "invalid"),
        ({"params": {"response_schema": {}}}, 400, "invalid"),
        ({"params": {"seed": 7}}, 400, "unsupported"),
    ],
)
def test_what_a_message_can_not_ask_for_is_said_and_nothing_is_stored(
    api: APIClient, alice: User, simulator: Any, body: Any, status: int, code: str
) -> None:
    key = CredentialFactory.create(owner=alice, provider="anthropic")
    answer = say(api, start(api, credential_id=str(key.pk)), **body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Message.objects.exists() and not UsageRecord.objects.exists()
    assert AgentSession.objects.get().status == "pending" and not simulator.app.log


@pytest.mark.parametrize(
    ("provider", "params"),
    [("anthropic", {"seed": 7}), ("openai_compatible", {"reasoning_effort": "low"})],
)
def test_what_the_provider_lacks_is_said_when_the_session_is_made(
    api: APIClient, alice: User, simulator: Any, provider: str, params: Any
) -> None:
    key = CredentialFactory.create(owner=alice, provider=provider, model_name="any-model")
    body = {"credential_id": str(key.pk), "params": params}
    refused = api.post(SESSIONS, body, format="json")

    assert (refused.status_code, refused.json()["code"]) == (400, "unsupported")
    assert next(iter(params)) in refused.json()["detail"]
    assert not AgentSession.objects.exists()
    session = start(api, credential_id=str(key.pk))
    changed = api.patch(f"{SESSIONS}/{session}", {"params": params}, format="json")
    assert changed.json()["code"] == "unsupported"
    assert AgentSession.objects.get().params == {}


def test_what_the_key_s_own_parameters_ask_for_is_said_too(
    api: APIClient, alice: User, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, provider="anthropic", params={"seed": 7})
    refused = api.post(SESSIONS, {"credential_id": str(key.pk)}, format="json")

    assert refused.json()["code"] == "unsupported"


def test_a_refusal_carries_the_providers_request_id_to_api_and_page(
    api: APIClient, alice: User, client: Client, simulator: Any
) -> None:
    key = CredentialFactory.create(owner=alice, key="sk-sim-401-1234567890")
    session = start(api, credential_id=str(key.pk))
    refused = say(api, session).json()
    client.force_login(alice)

    assert refused["request_id"] and refused["request_id"] == UsageRecord.objects.get().request_id
    assert (
        f"<code>{refused['request_id']}</code>" in client.get(f"/chat/{session}/").content.decode()
    )
