from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from byom.asgi import application
from credentials.canary import broken_canaries, ensure_canaries
from credentials.models import LLMCredential, VaultCanary
from credentials.tests.factories import CredentialFactory
from credentials.vault import BadKeyRing

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


def row(kid: str, byte: bytes = b"a") -> str:
    return f"{kid}:{base64.b64encode(byte * 32).decode()}"


def checks() -> list[CheckMessage]:
    return [found for found in run_checks(databases=["default"]) if "credentials" in str(found.id)]


async def start() -> dict[str, Any]:
    """What the application answers to a server that wants to start."""
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message)

    await application({"type": "lifespan"}, receive, send)
    return sent[0]


def test_the_current_key_gets_its_canary_and_no_other(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = f"{row('k2')},{row('k1')}"
    ensure_canaries()
    ensure_canaries()

    assert [canary.kid for canary in VaultCanary.objects.all()] == ["k2"]


def test_a_key_with_the_right_name_and_the_wrong_bytes_is_named(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = row("k1")
    ensure_canaries()
    settings.ENCRYPTION_KEYS = f"{row('k2')},{row('k1', b'b')}"

    with pytest.raises(BadKeyRing, match="Key k1 .* canary does not open"):
        ensure_canaries()
    assert broken_canaries() == ["k1"]


def test_a_canary_that_was_put_under_another_name_does_not_open(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = row("k1")
    ensure_canaries()
    VaultCanary.objects.update(kid="k2")
    settings.ENCRYPTION_KEYS = f"{row('k1')},{row('k2', b'b')}"

    assert broken_canaries() == ["k2"]


@pytest.mark.django_db(transaction=True)
async def test_the_server_makes_the_canary_when_it_starts() -> None:
    assert (await start())["type"] == "lifespan.startup.complete"
    assert await VaultCanary.objects.acount() == 1


@pytest.mark.django_db(transaction=True)
async def test_the_server_does_not_start_on_a_canary_that_does_not_open(settings: Any) -> None:
    await start()
    settings.ENCRYPTION_KEYS = row("t1")
    answer = await start()

    assert answer["type"] == "lifespan.startup.failed"
    assert "Key t1" in answer["message"]


@pytest.mark.django_db(transaction=True)
async def test_the_server_does_not_start_on_a_bad_ring(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = "k1:c2hvcnQ="
    answer = await start()

    assert answer["type"] == "lifespan.startup.failed"
    assert "k1 is not base64 of 32 bytes" in answer["message"]
    assert "c2hvcnQ" not in answer["message"]


@pytest.fixture
def no_table() -> Iterator[None]:
    """As before the first migration. Fields remember their table's name once they were asked for,
    and would bring it into other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VaultCanary._meta, "db_table", "not_there_yet")
        yield
    for field in VaultCanary._meta.concrete_fields:
        field.__dict__.pop("cached_col", None)


@pytest.mark.django_db(transaction=True)
async def test_the_server_says_to_migrate_where_tables_are_missing(no_table: None) -> None:
    assert "manage.py migrate" in (await start())["message"]


def test_all_is_well_and_the_checks_are_silent() -> None:
    ensure_canaries()
    CredentialFactory.create()

    assert checks() == []


def test_before_the_first_migration_the_checks_are_silent(no_table: None) -> None:
    assert checks() == []


def test_a_ring_that_cannot_be_used_is_e001_and_shows_no_key(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = "k1:c2hvcnQ="
    (found,) = checks()

    assert found.id == "credentials.E001"
    assert "c2hvcnQ" not in str(found)


def test_a_canary_that_does_not_open_is_e002(settings: Any) -> None:
    ensure_canaries()
    settings.ENCRYPTION_KEYS = row("t1")

    assert [found.id for found in checks()] == ["credentials.E002"]


def test_a_key_that_left_the_ring_too_early_is_w001(settings: Any) -> None:
    CredentialFactory.create()
    settings.ENCRYPTION_KEYS = row("k9")
    found = checks()

    assert [message.id for message in found] == ["credentials.W001", "credentials.W002"]
    assert "1 provider keys or tokens are sealed under t1" in found[0].msg


def test_rows_on_an_older_key_are_w002(settings: Any) -> None:
    CredentialFactory.create()
    settings.ENCRYPTION_KEYS = f"{row('k9')},{settings.ENCRYPTION_KEYS}"
    (found,) = checks()

    assert found.id == "credentials.W002"
    assert "rotate_keys" in str(found.hint)


def test_a_purged_row_warns_nobody(settings: Any) -> None:
    purged = CredentialFactory.create()
    purged.api_key = None
    purged.save()
    settings.ENCRYPTION_KEYS = row("k9")

    assert LLMCredential.objects.get().api_key is None
    assert checks() == []


def test_the_token_decides_and_not_the_column_beside_it(settings: Any) -> None:
    CredentialFactory.create()
    settings.ENCRYPTION_KEYS = f"{row('k9')},{settings.ENCRYPTION_KEYS}"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE credentials_llmcredential SET key_kid = 'k9'")

    assert [found.id for found in checks()] == ["credentials.W002"]


def test_checks_pass_over_columns_that_migrate_is_about_to_make() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE agents_toolserver RENAME COLUMN key_kid TO not_yet")
    CredentialFactory.create()

    assert checks() == []
