"""Selection by a person's own name for a model."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from agents.clients import AliasElsewhere, select
from credentials.errors import CredentialInactive
from credentials.models import ModelAlias
from credentials.services import delete_credential
from credentials.tests.factories import CredentialFactory

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.integration,
    pytest.mark.usefixtures("simulator"),
]


def alias(owner: User, **values: Any) -> ModelAlias:
    made = {"name": "fast", "provider": "anthropic", "model_name": "claude-haiku-4-5", **values}
    row: ModelAlias = ModelAlias.objects.create(owner=owner, **made)
    return row


def test_an_alias_stands_for_its_provider_and_model_in_the_usual_order(alice: User) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    key = CredentialFactory.create(owner=alice, provider="anthropic")
    alias(alice)

    chosen = select(user=alice, model="fast")
    assert (chosen.credential, chosen.model) == (key, "claude-haiku-4-5")


def test_an_alias_with_a_key_pays_with_that_key_or_not_at_all(alice: User) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic", is_default=True)
    key = CredentialFactory.create(owner=alice, provider="anthropic")
    alias(alice, credential=key)

    assert select(user=alice, model="fast").credential == key
    delete_credential(credential=key)
    with pytest.raises(CredentialInactive):
        select(user=alice, model="fast")


def test_a_key_that_is_named_or_pinned_has_to_be_the_aliass(alice: User) -> None:
    key, other = CredentialFactory.create_batch(2, owner=alice, provider="anthropic")
    openai = CredentialFactory.create(owner=alice)
    row = alias(alice)

    assert select(user=alice, pinned_id=other.pk, model="fast").model == "claude-haiku-4-5"
    with pytest.raises(AliasElsewhere, match="fast"):
        select(user=alice, pinned_id=openai.pk, model="fast")
    row.credential = key
    row.save()
    with pytest.raises(AliasElsewhere):
        select(user=alice, credential_id=other.pk, model="fast")


def test_nobody_elses_alias_and_no_other_providers_model_is_meant(alice: User, bob: User) -> None:
    CredentialFactory.create(owner=bob, is_default=True)
    alias(alice)

    assert select(user=bob, model="fast").provider != "anthropic"
    assert select(user=bob, provider="openai", model="fast").model == "fast"
    CredentialFactory.create(owner=alice)
    assert select(user=alice, provider="openai", model="fast").model == "fast"


def test_a_session_follows_its_alias(api: APIClient, alice: User) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")
    CredentialFactory.create(owner=alice)
    row = alias(alice)
    session = api.post("/api/v1/agent/sessions", {"model": "fast"}, format="json").json()
    url = f"/api/v1/agent/sessions/{session['id']}/messages"

    answer = api.post(url, {"content": "What is the capital of France?"}, format="json").json()
    assert answer["receipt"]["provider"] == "anthropic"
    row.provider, row.model_name = "openai", "gpt-4o-mini"
    row.save()
    answer = api.post(url, {"content": "What is the capital of Italy?"}, format="json").json()
    assert answer["receipt"]["provider"] == "openai"
