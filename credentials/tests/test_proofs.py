"""What must hold whatever happens to the database or at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connection, connections
from django.test import Client
from django.urls import reverse_lazy

from credentials.models import LLMCredential
from credentials.services import set_default, update_credential
from credentials.tests.factories import CredentialFactory
from credentials.vault import Tampered

pytestmark = pytest.mark.integration
TABLE = "credentials_llmcredential"
PAGE = reverse_lazy("credentials:list")


def tokens() -> dict[str, str]:
    """Label → stored token, by SQL alone."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT label, api_key FROM {TABLE}")
        return dict(cursor.fetchall())


def store(labelled: dict[str, str]) -> None:
    with connection.cursor() as cursor:
        for label, token in labelled.items():
            cursor.execute(f"UPDATE {TABLE} SET api_key = %s WHERE label = %s", [token, label])


@pytest.fixture
def swapped(alice: User, bob: User) -> Iterator[dict[str, str]]:
    """Alice's and Bob's ciphertexts in each other's rows; the fixture is what was there before."""
    CredentialFactory.create(owner=alice, label="alice", key="sk-proj-of-alice-1")
    CredentialFactory.create(owner=bob, label="bob", key="sk-proj-of-bob-1")
    before = tokens()
    store({"alice": before["bob"], "bob": before["alice"]})
    yield before


@pytest.mark.django_db
def test_swapped_ciphertexts_open_for_neither(swapped: dict[str, str]) -> None:
    for row in LLMCredential.objects.all():
        with pytest.raises(Tampered):
            row.api_key.reveal("test")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [PAGE, "/api/v1/users/me/llm-credentials"])
def test_lists_work_while_ciphertexts_are_swapped(
    swapped: dict[str, str], alice: User, client: Client, path: str
) -> None:
    client.force_login(alice)
    answer = client.get(path)

    assert answer.status_code == 200
    assert b"alice" in answer.content and b"sk-proj" not in answer.content


@pytest.mark.django_db
def test_staff_s_list_works_while_ciphertexts_are_swapped(
    swapped: dict[str, str], admin_client: Client
) -> None:
    assert admin_client.get("/admin/credentials/llmcredential/").status_code == 200


@pytest.mark.django_db
def test_putting_the_ciphertexts_back_heals(swapped: dict[str, str]) -> None:
    store(swapped)
    opened = {row.label: row.api_key.reveal("test") for row in LLMCredential.objects.all()}

    assert opened == {"alice": "sk-proj-of-alice-1", "bob": "sk-proj-of-bob-1"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["set_default", "update_credential"])
def test_of_twenty_who_become_the_default_at_once_one_does(alice: User, how: str) -> None:
    rows = [CredentialFactory.create(owner=alice) for _ in range(20)]
    barrier, errors = threading.Barrier(len(rows)), []

    def become_default(row: LLMCredential) -> None:
        close_old_connections()
        try:
            barrier.wait(timeout=30)
            if how == "set_default":
                set_default(credential=row)
            else:
                update_credential(credential=row, is_default=True)
        except Exception as error:  # what comes is the test's finding
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=become_default, args=[row]) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert LLMCredential.objects.filter(owner=alice, is_default=True).count() == 1


@pytest.mark.django_db
def test_editing_a_row_read_before_another_became_the_default_changes_no_default(
    alice: User,
) -> None:
    old = CredentialFactory.create(owner=alice, is_default=True)
    new: Any = CredentialFactory.create(owner=alice)
    set_default(credential=new)
    update_credential(credential=old, label="renamed")

    default = LLMCredential.objects.get(owner=alice, is_default=True)
    assert default == new
