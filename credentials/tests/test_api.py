from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/llm-credentials"
KEY = "sk-proj-0123456789ab7890"


def post(api: APIClient, **body: Any) -> Any:
    return api.post(URL, {"provider": "openai", "api_key": KEY, **body}, format="json")


def test_a_key_is_created_masked(api: APIClient, alice: User) -> None:
    response = post(api, label="work", model_name="gpt-4o", params={"temperature": 0.2})

    assert response.status_code == 201
    body = response.json()
    assert body["api_key_masked"] == "********7890"
    assert (body["user_id"], body["label"], body["is_default"]) == (alice.pk, "work", True)
    assert KEY not in response.content.decode()
    assert LLMCredential.objects.get().api_key.reveal("test") == KEY


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_the_list_needs_no_slash_and_shows_active_keys_only(
    api: APIClient, alice: User, url: str
) -> None:
    shown = CredentialFactory.create(owner=alice)
    CredentialFactory.create(owner=alice, is_active=False)

    assert [row["id"] for row in api.get(url).json()] == [str(shown.pk)]


def test_the_list_can_include_inactive_keys(api: APIClient, alice: User) -> None:
    CredentialFactory.create(owner=alice, is_active=False)

    assert len(api.get(f"{URL}?include_inactive=true").json()) == 1


def test_a_key_is_changed_and_deleted(api: APIClient, alice: User) -> None:
    row = CredentialFactory.create(owner=alice)

    changed = api.patch(f"{URL}/{row.pk}", {"label": "new", "is_default": True}, format="json")
    assert (changed.status_code, changed.json()["label"]) == (200, "new")
    assert api.delete(f"{URL}/{row.pk}").status_code == 204
    assert api.get(f"{URL}/{row.pk}").status_code == 404
    row.refresh_from_db()
    assert (row.is_active, row.is_default) == (False, False)


@pytest.mark.parametrize("verb", ["get", "patch", "delete"])
def test_a_foreign_key_answers_as_one_that_never_was(api: APIClient, bob: User, verb: str) -> None:
    foreign = CredentialFactory.create(owner=bob)
    absent = "00000000-0000-4000-8000-000000000000"

    answers = [
        getattr(api, verb)(f"{URL}/{pk}", {"label": "mine"}, format="json")
        for pk in (foreign.pk, absent, "not-a-uuid")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    foreign.refresh_from_db()
    assert foreign.is_active and foreign.label != "mine"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"provider": "acme", "api_key": KEY}, "Supported: openai"),
        ({"provider": "openai", "api_key": ""}, "empty"),
        ({"provider": "openai", "api_key": "sk-12345678\nsecond"}, "line breaks"),
        ({"provider": "openai", "api_key": KEY, "params": {"heat": 1}}, "Unknown parameter"),
        ({"provider": "openai", "api_key": KEY, "params": {"temperature": 9}}, "from 0 to 2"),
        ({"provider": "openai", "api_key": KEY, "params": {"stop": ["a\0b"]}}, "NUL"),
        ({"provider": "openai", "api_key": KEY, "params": {"extra": {"a": "x" * 20_001}}}, "bytes"),
        ({"provider": "openai", "api_key": KEY, "label": "x" * 81}, "label"),
        ({"provider": "openai", "api_key": KEY, "base_url": "ftp://x"}, "https://"),
        ({"provider": "openai"}, "api_key"),
        ([], "dictionary"),
        ({"provider": "openai", "api_key": ["sk-1"]}, "api_key"),
    ],
)
def test_bad_input_gets_a_sentence_and_stores_nothing(
    api: APIClient, body: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = api.post(URL, body, format="json")

    assert response.status_code == 400
    assert said in response.json()["detail"]
    assert "sk-12345678" not in response.content.decode() + caplog.text
    assert not LLMCredential.objects.exists()


def test_malformed_json_gets_a_sentence(api: APIClient) -> None:
    response = api.post(URL, "{", content_type="application/json")

    assert response.status_code == 400
    assert "JSON parse error" in response.json()["detail"]


def test_a_second_key_under_the_same_label_is_refused(api: APIClient) -> None:
    post(api, label="work")
    response = post(api, label="work")

    assert response.status_code == 400
    assert "already exists" in response.json()["detail"]


def test_the_provider_of_a_key_stays(api: APIClient, alice: User) -> None:
    row = CredentialFactory.create(owner=alice)
    response = api.patch(f"{URL}/{row.pk}", {"provider": "google"}, format="json")

    assert response.status_code == 400
    assert "can't be changed" in response.json()["detail"]


def test_without_a_token_the_answer_says_how_to_sign_in(client: Any) -> None:
    response = client.get(URL)

    assert response.status_code == 401
    assert "Bearer byom_" in response.json()["detail"]


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now}, {"expires_at": timezone.now}])
def test_a_revoked_or_expired_token_opens_nothing(
    api: APIClient, change: dict[str, Callable[[], Any]]
) -> None:
    AccessToken.objects.update(
        **{name: now() - timedelta(seconds=1) for name, now in change.items()}
    )

    assert api.get(URL).status_code == 401


def test_the_token_of_a_closed_account_opens_nothing(api: APIClient, alice: User) -> None:
    alice.is_active = False
    alice.save()

    assert api.get(URL).status_code == 401


def test_the_use_of_a_token_is_noted(api: APIClient) -> None:
    api.get(URL)

    assert AccessToken.objects.get().last_used_at is not None


def test_a_token_made_on_the_command_line_opens_the_api(
    alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_access_token", "--user", "alice")
    token = capsys.readouterr().out.strip()
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    assert api.get(URL).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/", "/api/v2/users"])
def test_an_api_address_that_does_not_exist_answers_in_json(api: APIClient, path: str) -> None:
    response = api.get(path)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
