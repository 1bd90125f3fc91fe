"""Names that people give to models: the page, the API, and what may be one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credentials.models import ModelAlias
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/model-aliases"
FAST: dict[str, Any] = {"name": "fast", "provider": "openai", "model_name": "gpt-4o-mini"}


@pytest.fixture
def page(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def test_an_alias_is_made_changed_and_deleted_by_the_api(api: APIClient, alice: User) -> None:
    made = api.post(URL, FAST, format="json")
    assert made.status_code == 201, made.json()
    row = ModelAlias.objects.get()
    assert (row.owner, row.name, row.credential) == (alice, "fast", None)

    key = CredentialFactory.create(owner=alice)
    changed = api.patch(f"{URL}/{row.pk}", {"credential_id": str(key.pk)}, format="json")
    assert changed.json()["credential_id"] == str(key.pk)
    assert [one["name"] for one in api.get(URL).json()] == ["fast"]
    assert api.delete(f"{URL}/{row.pk}").status_code == 204
    assert not ModelAlias.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Fast"),
        ("name", "openai/fast"),
        ("name", "models/fast"),
        ("name", "../fast"),
        ("name", "x" * 65),
        ("name", "gpt-mine"),  # would hide a model of OpenAI's
        ("provider", "nobody"),
        ("model_name", "two words"),
        ("model_name", ""),
    ],
)
def test_what_can_not_be_an_alias_is_refused_by_its_field(
    api: APIClient, page: Client, field: str, value: str
) -> None:
    refused = api.post(URL, {**FAST, field: value}, format="json")
    assert refused.status_code == 400
    assert list(refused.json()["fields"]) == [field]
    assert page.post("/keys/aliases/new/", {**FAST, field: value}).status_code == 422
    assert not ModelAlias.objects.exists()


def test_a_name_is_taken_once_by_each_person(api: APIClient, page: Client, bob: User) -> None:
    ModelAlias.objects.create(owner=bob, **FAST)
    assert api.post(URL, FAST, format="json").status_code == 201

    twin = api.post(URL, FAST, format="json")
    assert twin.status_code == 400 and "already" in str(twin.json())
    refused = page.post("/keys/aliases/new/", FAST)
    assert refused.status_code == 422 and "already" in refused.content.decode()
    assert ModelAlias.objects.count() == 2


def test_an_alias_pays_with_a_key_of_ones_own_and_of_its_provider(
    api: APIClient, page: Client, alice: User, bob: User
) -> None:
    foreign = CredentialFactory.create(owner=bob, label="bobs key")
    other = CredentialFactory.create(owner=alice, provider="anthropic")

    for key in (foreign, other):
        refused = api.post(URL, {**FAST, "credential_id": str(key.pk)}, format="json")
        assert refused.status_code == 400, refused.json()
        body = {**FAST, "credential": str(key.pk)}
        assert page.post("/keys/aliases/new/", body).status_code == 422
    assert "bobs key" not in page.get("/keys/aliases/new/").content.decode()
    assert not ModelAlias.objects.exists()


def test_an_alias_is_kept_on_pages(page: Client, alice: User, bob: User) -> None:
    key = CredentialFactory.create(owner=alice, label="work")
    ModelAlias.objects.create(owner=bob, **{**FAST, "name": "bobs"})
    body = {**FAST, "credential": str(key.pk)}
    html = page.post("/keys/aliases/new/", body, follow=True).content.decode()
    assert "Calls for fast now go to gpt-4o-mini." in html
    assert "work" in html and "bobs" not in html

    row = ModelAlias.objects.owned_by(alice).get()
    page.post(f"/keys/aliases/{row.pk}/", {**FAST, "model_name": "gpt-4o"})
    row.refresh_from_db()
    assert (row.model_name, row.credential) == ("gpt-4o", None)
    html = page.post(f"/keys/aliases/{row.pk}/delete/", follow=True).content.decode()
    assert "Alias fast deleted." in html and "No aliases yet" in html


def test_staff_see_whose_alias_it_is(admin_client: Client, alice: User) -> None:
    row = ModelAlias.objects.create(owner=alice, **FAST)

    html = admin_client.get(f"/admin/credentials/modelalias/{row.pk}/change/").content.decode()
    assert "alice" in html and 'name="owner"' not in html
    assert "fast" in admin_client.get("/admin/credentials/modelalias/").content.decode()
