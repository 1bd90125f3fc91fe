"""Testing, replacing and adding keys on pages, without scripts and as the pages' script asks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory
from credentials.tests.pages import BROKEN, GOOD, REFUSED, SCRIPT, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


@pytest.fixture
def page(alice: User, client: Client) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def row(alice: User) -> LLMCredential:
    return CredentialFactory.create(owner=alice, label="work", is_default=True)


def add(page: Client, **values: Any) -> Any:
    return page.post("/keys/add/", {"provider": "openai", "api_key": GOOD, **values})


# Test connection -----------------------------------------------------------------------


def test_a_test_says_how_it_went_and_how_long_it_took(
    page: Client, row: LLMCredential, simulator: Any
) -> None:
    text = text_of(page.post(f"/keys/{row.pk}/test/", follow=True))

    assert re.search(r"OpenAI accepts this key; .* The answer took \d+ ms\.", text)
    row.refresh_from_db()
    assert row.last_validated_at is not None


def test_the_script_gets_the_parts_that_changed(
    page: Client, row: LLMCredential, simulator: Any
) -> None:
    row.quarantine("refused")
    row.save()
    response = page.post(f"/keys/{row.pk}/test/", headers=SCRIPT)
    html = response.content.decode()

    assert response.status_code == 200
    assert "<html" not in html and 'class="notice success"' in html
    assert 'id="key-badges"' in html and "active" in html and "quarantine" not in html
    assert "just now" in html


def test_a_refused_key_goes_into_quarantine_and_leaves_it_by_a_test_only(
    page: Client, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice, key=REFUSED)
    response = page.post(f"/keys/{row.pk}/test/", headers=SCRIPT)

    text = text_of(response)
    assert "does not accept this API key" in text and "This key is in quarantine." in text
    assert "https://platform.openai.com/api-keys" in response.content.decode()
    assert "quarantined" in text_of(page.get(f"/keys/{row.pk}/"))


def test_a_provider_in_trouble_says_nothing_of_the_key(
    page: Client, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice, key=BROKEN)
    response = page.post(f"/keys/{row.pk}/test/", headers=SCRIPT)

    assert response.status_code == 503
    assert "nothing is known about it" in text_of(response)
    row.refresh_from_db()
    assert row.state == "active"


def test_a_model_that_the_key_does_not_reach_is_a_warning(
    page: Client, alice: User, simulator: Any
) -> None:
    row = CredentialFactory.create(owner=alice, model_name="gpt-4o-mini2")
    html = page.post(f"/keys/{row.pk}/test/", headers=SCRIPT).content.decode()

    assert 'class="notice warning"' in html and "Near names: gpt-4o-mini" in html


def test_what_keeps_a_key_from_being_tested_is_told(
    page: Client, alice: User, row: LLMCredential
) -> None:
    response = page.post(f"/keys/{row.pk}/test/", follow=True)  # no simulator runs
    assert "This is a key of the provider simulator" in text_of(response)

    other = CredentialFactory.create(owner=alice, key="sk-proj-0123456789")
    LLMCredential.objects.swap_token(
        "api_key", pk=other.pk, old=str(other.api_key.token), new="byom1:gone:AAAA"
    )
    response = page.post(f"/keys/{other.pk}/test/", headers=SCRIPT)
    assert response.status_code == 409
    assert "is not on the ring" in text_of(response)


@pytest.mark.parametrize("key", [GOOD, "sk-proj-0123456789"])
def test_a_provider_that_is_gone_breaks_no_page(
    page: Client, alice: User, simulator: Any, key: str
) -> None:
    row = CredentialFactory.create(owner=alice, key=key)
    LLMCredential.objects.filter(pk=row.pk).update(provider="gone")

    for path in ("/keys/", f"/keys/{row.pk}/"):
        assert page.get(path).status_code == 200
    assert "Unknown provider" in text_of(page.post(f"/keys/{row.pk}/test/", follow=True))
    response = page.post(f"/keys/{row.pk}/rotate/", {"api_key": GOOD})
    assert (response.status_code, "Unknown provider" in text_of(response)) == (422, True)


# Replacing a key ---------------------------------------------------------------------------


def test_a_key_is_replaced_after_a_test(page: Client, row: LLMCredential, simulator: Any) -> None:
    body = {"api_key": "sk-sim-ok-0987654321", "validate": "on"}
    response = page.post(f"/keys/{row.pk}/rotate/", body, follow=True)

    assert "The key ********4321 is in use from now on." in text_of(response)
    row.refresh_from_db()
    assert row.api_key.reveal("test") == "sk-sim-ok-0987654321"
    assert row.last_validated_at is not None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (REFUSED, "the old one stays in use: OpenAI does not accept this API key."),
        (BROKEN, "save it untested: untick the test."),
        ("", "Paste the new key."),
        ("sk-admin-0123456789", "this is an admin key"),
        ("with a blank", "a key has no spaces"),
    ],
)
def test_a_new_key_that_can_not_be_used_leaves_the_old_one(
    page: Client, row: LLMCredential, simulator: Any, key: str, said: str
) -> None:
    response = page.post(f"/keys/{row.pk}/rotate/", {"api_key": key, "validate": "on"})

    assert response.status_code == 422
    assert said in text_of(response)
    assert list(response.context["rotate_form"].errors) == ["api_key"]
    assert not key or key not in response.content.decode()
    row.refresh_from_db()
    assert row.api_key.reveal("test") == GOOD


def test_a_new_key_is_saved_untested_where_that_is_asked_for(
    page: Client, row: LLMCredential, simulator: Any
) -> None:
    page.post(f"/keys/{row.pk}/rotate/", {"api_key": REFUSED})

    row.refresh_from_db()
    assert row.api_key.reveal("test") == REFUSED
    assert not simulator.app.log


def test_a_new_base_url_comes_with_the_key(page: Client, alice: User, settings: Any) -> None:
    row = CredentialFactory.create(
        owner=alice, provider="openai_compatible", base_url="https://one.example/v1"
    )
    url = f"/keys/{row.pk}/rotate/"
    response = page.post(url, {"base_url": "https://two.example/v1"})
    assert "A new base URL needs the key again too." in text_of(response)

    page.post(url, {"base_url": "https://two.example/v1", "api_key": "my-own-server-key"})
    row.refresh_from_db()
    assert row.base_url == "https://two.example/v1"

    settings.CUSTOM_BASE_URLS = False
    body = {"base_url": "https://two.example/v1", "api_key": "my-next-server-key"}
    assert page.post(url, body).status_code == 302, "the same URL is no new one"
    refused = page.post(url, {**body, "base_url": "https://three.example/v1"})
    assert "switched off on this server" in text_of(refused)
    assert list(refused.context["rotate_form"].errors) == ["base_url"]


# Adding a key ------------------------------------------------------------------------------


def test_a_new_key_is_tested_before_it_is_saved(page: Client, alice: User, simulator: Any) -> None:
    response = add(page, validate="on", label="work")

    assert "added. Its provider accepts it." in text_of(page.get(response["Location"]))
    assert LLMCredential.objects.get().last_validated_at is not None


def test_the_test_is_ticked_at_first(page: Client) -> None:
    html = page.get("/keys/add/").content.decode()

    assert re.search(r'<input type="checkbox" name="validate"[^>]* checked', html)


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"api_key": REFUSED}, "api_key", "does not accept this API key"),
        ({"api_key": BROKEN}, "api_key", "untick the test"),
        ({"api_key": "short"}, "api_key", "8 to 512 characters"),
        ({"provider": GOOD}, "provider", "Choose one of the providers"),
        ({"provider": "openai_compatible"}, "base_url", "needs a base URL"),
        ({"base_url": "ftp://x"}, "base_url", "must begin with https"),
        ({"label": "work"}, "label", "already exists"),
        ({"expires_at": "2020-01-01T00:00"}, "expires_at", "in the past"),
    ],
)
def test_a_key_that_is_refused_is_not_saved_and_the_field_says_why(
    page: Client, row: LLMCredential, simulator: Any,
    values: dict[str, str], field: str, said: str,
) -> None:  # fmt: skip
    response = add(page, validate="on", **values)

    assert response.status_code == 422
    assert said in text_of(response)
    assert list(response.context["form"].errors) == [field]
    assert LLMCredential.objects.count() == 1


def test_a_key_is_tested_without_being_saved(page: Client, simulator: Any) -> None:
    body = {"provider": "openai", "api_key": GOOD, "label": "typed already"}
    part = page.post("/keys/test/", body, headers=SCRIPT)
    whole = page.post("/keys/test/", body)

    assert "OpenAI accepts this key" in text_of(part)
    assert "Nothing was saved." in text_of(whole)
    assert "typed already" in whole.content.decode(), "what was typed stays, but for the key"
    assert not LLMCredential.objects.exists()


def test_what_can_not_be_tested_says_why(page: Client, simulator: Any) -> None:
    response = page.post("/keys/test/", {"provider": "openai"}, headers=SCRIPT)
    assert response.status_code == 422
    assert "API key: This field is required." in text_of(response)

    body = {"provider": "openai", "api_key": "sk-admin-0123456789"}
    response = page.post("/keys/test/", body, headers=SCRIPT)
    assert response.status_code == 400
    assert "this is an admin key" in text_of(response)


# How often ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("changes of keys", "/keys/add/", {"provider": "openai", "api_key": "short"}),
        ("changes of keys", "/keys/{pk}/", {"params": "{"}),
        ("changes of keys", "/keys/{pk}/rotate/", {"api_key": "short"}),
        ("tests of keys", "/keys/{pk}/rotate/", {"api_key": REFUSED, "validate": "on"}),
        (
            "tests of keys",
            "/keys/add/",
            {"provider": "openai", "api_key": REFUSED, "validate": "1"},
        ),
    ],
)
def test_a_form_that_is_sent_too_often_says_when_to_try_again(
    page: Client, row: LLMCredential, simulator: Any, settings: Any,
    name: str, path: str, body: dict[str, str],
) -> None:  # fmt: skip
    settings.CREDENTIAL_LIMITS = {**settings.CREDENTIAL_LIMITS, name: 1}
    answers = [page.post(path.format(pk=row.pk), body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 429]
    assert f"the limit of 1 {name} an hour. Try again in" in text_of(answers[1])


@pytest.mark.parametrize(
    ("name", "action"),
    [("tests of keys", "test/"), ("changes of keys", "default/"), ("changes of keys", "delete/")],
)
def test_a_button_that_is_pressed_too_often_says_when_to_try_again(
    page: Client, alice: User, simulator: Any, settings: Any, name: str, action: str
) -> None:
    settings.CREDENTIAL_LIMITS = {**settings.CREDENTIAL_LIMITS, name: 1}
    for row in CredentialFactory.create_batch(2, owner=alice):
        response = page.post(f"/keys/{row.pk}/{action}", follow=True)

    assert f"the limit of 1 {name} an hour. Try again in" in text_of(response)


def test_the_script_is_told_how_long_to_wait(
    page: Client, row: LLMCredential, simulator: Any, settings: Any
) -> None:
    settings.CREDENTIAL_LIMITS = {**settings.CREDENTIAL_LIMITS, "tests of keys": 1}
    answers = [page.post(f"/keys/{row.pk}/test/", headers=SCRIPT) for _ in range(2)]

    assert answers[1].status_code == 429
    assert int(answers[1]["Retry-After"]) > 3500
