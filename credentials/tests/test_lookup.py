"""The SQL that selection reads with says what the QuerySet methods say."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ValidationError
from django.utils import timezone

from credentials.lookup import default_credential, own_credential
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]

STATES: list[dict[str, Any]] = [
    {},
    {"is_active": False},
    {"quarantined_at": timezone.now()},
    {"expires_at": timezone.now() - timedelta(hours=1)},
    {"expires_at": timezone.now() + timedelta(hours=1)},
]


@pytest.mark.parametrize("provider", ["", "openai", "anthropic", "google"])
@pytest.mark.parametrize("default", range(-1, 10))
def test_the_default_is_the_one_that_the_orm_finds(
    alice: User, bob: User, provider: str, default: int
) -> None:
    CredentialFactory.create(owner=bob, is_default=True)
    kinds = itertools.product(["openai", "anthropic"], STATES)
    for number, (kind, state) in enumerate(kinds):
        row = CredentialFactory.create(owner=alice, provider=kind, is_default=number == default)
        LLMCredential.objects.filter(pk=row.pk).update(**state)
    own = LLMCredential.objects.owned_by(alice).usable()
    own = own.filter(provider=provider) if provider else own.filter(is_default=True)

    expected = own.order_by("-is_default", "created_at").first()
    assert default_credential(alice, provider) == expected


def test_one_s_own_row_is_found_whole_and_opens(alice: User) -> None:
    row = CredentialFactory.create(owner=alice, params={"temperature": 0.5}, key="sk-proj-12345678")
    found = own_credential(alice, str(row.pk))

    assert found == row and found is not None
    assert (found.params, found.created_at) == ({"temperature": 0.5}, row.created_at)
    assert found.api_key.reveal("test") == "sk-proj-12345678"


def test_the_row_of_another_owner_is_not_found(alice: User, bob: User) -> None:
    row = CredentialFactory.create(owner=alice, is_default=True)

    assert own_credential(bob, row.pk) is None
    assert default_credential(bob) is None


def test_nobody_does_not_get_the_system_s_own_rows() -> None:
    row = CredentialFactory.create(owner=None, is_default=True)

    assert own_credential(AnonymousUser(), row.pk) is None
    assert default_credential(AnonymousUser()) is None


def test_what_is_no_uuid_is_said_to_be_none(alice: User) -> None:
    with pytest.raises(ValidationError):
        own_credential(alice, "not-a-uuid")
