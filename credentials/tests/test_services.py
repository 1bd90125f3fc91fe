from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from credentials import services
from credentials.errors import AlreadyExists, BaseURLsClosed, KeyNeeded
from credentials.models import AccessToken, LLMCredential
from providers.errors import BaseURLRefused, KeyRefused
from providers.registry import UnknownProvider

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
KEY = "sk-proj-0123456789abcdef"


def add(owner: User, **kwargs: Any) -> LLMCredential:
    return services.add_credential(
        owner=owner, **{"provider": "openai", "api_key": KEY, "label": "main", **kwargs}
    )


def test_a_first_key_becomes_the_default_and_a_second_does_not(alice: User) -> None:
    assert add(alice).is_default
    assert not add(alice, label="second").is_default


def test_a_new_default_takes_the_place_of_the_old_one(alice: User) -> None:
    first = add(alice)
    second = add(alice, label="second", is_default=True)

    first.refresh_from_db()
    assert (first.is_default, second.is_default) == (False, True)


def test_making_another_key_the_default_leaves_one_default(alice: User) -> None:
    add(alice)
    second = add(alice, label="second")
    services.set_default(credential=second)

    assert [row.label for row in LLMCredential.objects.filter(is_default=True)] == ["second"]


def test_a_second_active_key_under_one_label_is_refused(alice: User, bob: User) -> None:
    add(alice)

    with pytest.raises(AlreadyExists, match="already exists"):
        add(alice)
    assert add(bob).pk  # another person's label is free
    assert add(alice, provider="anthropic").pk  # and so is another provider's


def test_the_label_of_a_deleted_key_is_free_again(alice: User) -> None:
    services.delete_credential(credential=add(alice))

    assert add(alice).is_default


def test_white_space_around_a_key_is_dropped(alice: User) -> None:
    assert add(alice, api_key=f"  {KEY}\n").api_key.reveal("test") == KEY


@pytest.mark.parametrize(
    "key", ["", "   ", "short", "sk-with\nnewline-123456", "sk-ümlaut-123456", "sk-admin-12345678"]
)
def test_a_key_that_cannot_be_one_is_refused_and_not_echoed(alice: User, key: str) -> None:
    with pytest.raises(KeyRefused) as caught:
        add(alice, api_key=key)

    assert not key.strip() or key.strip() not in str(caught.value)
    assert not LLMCredential.objects.exists()


def test_an_unknown_provider_is_refused_with_the_supported_ones(alice: User) -> None:
    with pytest.raises(UnknownProvider, match="openai, anthropic, google"):
        add(alice, provider="acme")


def test_a_compatible_server_needs_its_base_url(alice: User) -> None:
    with pytest.raises(BaseURLRefused):
        add(alice, provider="openai_compatible")

    row = add(alice, provider="openai_compatible", base_url="http://localhost:11434/v1/")
    assert row.base_url == "http://localhost:11434/v1"


def test_own_base_urls_can_be_switched_off(alice: User, settings: Any) -> None:
    settings.CUSTOM_BASE_URLS = False

    with pytest.raises(BaseURLsClosed):
        add(alice, base_url="https://elsewhere.example/v1")


def test_another_base_url_needs_the_key_again(alice: User) -> None:
    row = add(alice, base_url="https://one.example/v1")

    with pytest.raises(KeyNeeded):
        services.update_credential(credential=row, base_url="https://two.example/v1")
    services.rotate_key(
        credential=row, api_key=KEY, base_url="https://two.example/v1", validate=False
    )
    row.refresh_from_db()
    assert row.base_url == "https://two.example/v1"


def test_a_new_key_replaces_everything_that_was_derived_from_the_old(alice: User) -> None:
    row = add(alice)
    before = row.fingerprint
    services.rotate_key(credential=row, api_key="sk-sim-ok-1234567890", validate=False)

    row.refresh_from_db()
    assert row.api_key.reveal("test") == "sk-sim-ok-1234567890"
    assert (row.last4, row.is_simulated) == ("7890", True)
    assert row.fingerprint != before


def test_a_token_is_kept_as_a_hash_only(alice: User) -> None:
    row, token = AccessToken.issue(user=alice, name="laptop")

    assert token.startswith("byom_") and token not in str(vars(row))
    assert AccessToken.objects.for_token(token) == row
    assert AccessToken.objects.for_token(token[:-1]) is None
    assert AccessToken.objects.for_token("") is None
