from __future__ import annotations

import copy
import pickle
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError
from django.core.management import call_command
from django.db import connection
from django.db.models import F, Value

from credentials.fields import Secret
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory
from credentials.vault import MissingKey, Tampered

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
KEY = "sk-proj-0123456789abcdef"


@pytest.fixture
def credential() -> LLMCredential:
    row: LLMCredential = CredentialFactory.create(key=KEY)
    return LLMCredential.objects.get(pk=row.pk)


def stored(credential: LLMCredential) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT api_key FROM credentials_llmcredential WHERE last4 = %s", [credential.last4]
        )
        return str(cursor.fetchone()[0])


def store(credential: LLMCredential, token: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE credentials_llmcredential SET api_key = %s WHERE last4 = %s",
            [token, credential.last4],
        )


def test_the_column_holds_a_token_and_reading_gives_the_key(credential: LLMCredential) -> None:
    assert stored(credential).startswith("byom1:t1:")
    assert credential.api_key.reveal("test") == KEY


def test_nothing_prints_a_secret(credential: LLMCredential) -> None:
    shown = f"{credential.api_key} {credential.api_key!r} {credential!r} {credential.__dict__!r}"

    assert KEY not in shown
    assert "********" in shown


def test_a_secret_cannot_be_pickled(credential: LLMCredential) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(credential)


def test_a_copied_row_keeps_its_secret(credential: LLMCredential) -> None:
    assert copy.deepcopy(credential).api_key.reveal("test") == KEY


def test_dumpdata_shows_ciphertext_and_loaddata_restores_the_key(
    credential: LLMCredential, tmp_path: Any
) -> None:
    dump = StringIO()
    call_command("dumpdata", "auth.user", "credentials.llmcredential", stdout=dump)
    file = tmp_path / "dump.json"
    file.write_text(dump.getvalue())
    LLMCredential.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)

    assert KEY not in dump.getvalue()
    assert LLMCredential.objects.get().api_key.reveal("test") == KEY


def test_saving_without_opening_writes_the_token_back_as_it_was(credential: LLMCredential) -> None:
    before = stored(credential)
    credential.label = "renamed"
    credential.save()

    assert stored(credential) == before


@pytest.mark.parametrize("value", ["text", F("label"), Value("text")])
def test_update_is_refused(credential: LLMCredential, value: Any) -> None:
    with pytest.raises(FieldError, match="sealed"):
        LLMCredential.objects.update(api_key=value)

    assert LLMCredential.objects.get().api_key.reveal("test") == KEY


def test_bulk_update_is_refused(credential: LLMCredential) -> None:
    with pytest.raises(FieldError, match="sealed"):
        LLMCredential.objects.bulk_update([credential], ["api_key"])


def test_updating_on_conflict_is_refused(credential: LLMCredential) -> None:
    with pytest.raises(FieldError, match="sealed"):
        LLMCredential.objects.bulk_create(
            [credential], update_conflicts=True, unique_fields=["id"], update_fields=["api_key"]
        )


def test_assigning_an_expression_is_refused(credential: LLMCredential) -> None:
    with pytest.raises(FieldError):
        credential.api_key = F("label")  # type: ignore[assignment]


@pytest.mark.parametrize("lookup", ["api_key", "api_key__contains", "api_key__startswith"])
def test_lookups_are_refused(credential: LLMCredential, lookup: str) -> None:
    with pytest.raises(FieldError):
        LLMCredential.objects.filter(**{lookup: KEY}).exists()


def test_bulk_create_seals_every_row(credential: LLMCredential) -> None:
    twin = LLMCredential(owner=credential.owner, provider="openai", label="twin")
    twin.set_api_key("sk-another-0123456789")
    LLMCredential.objects.bulk_create([twin])

    found = LLMCredential.objects.get(label="twin")
    assert found.api_key.reveal("test") == "sk-another-0123456789"


def test_a_token_of_another_owner_does_not_open_and_lists_still_work(
    credential: LLMCredential,
) -> None:
    other = CredentialFactory.create(key="sk-other-key-9876")
    mine, theirs = stored(credential), stored(other)
    store(credential, theirs)
    store(other, mine)

    rows = list(LLMCredential.objects.all())
    for row in rows:
        with pytest.raises(Tampered):
            row.api_key.reveal("test")
    store(credential, mine)
    assert LLMCredential.objects.get(pk=credential.pk).api_key.reveal("test") == KEY


def test_a_row_that_cannot_be_opened_can_be_saved_and_keeps_its_token(
    credential: LLMCredential,
) -> None:
    token = stored(credential).replace("byom1:t1:", "byom1:gone:")
    store(credential, token)
    row = LLMCredential.objects.get()
    row.label = "renamed"
    row.save()

    assert stored(row) == token
    with pytest.raises(MissingKey):
        row.api_key.reveal("test")


def test_a_fernet_token_of_an_import_stays_readable(
    credential: LLMCredential, settings: Any
) -> None:
    field = LLMCredential._meta.get_field("api_key")
    field.__dict__.pop("keys", None)
    settings.FERNET_KEYS = ["an old passphrase"]
    try:
        fernet = Fernet(field.fernet_keys[0])
        store(credential, fernet.encrypt(KEY.encode()).decode())
        assert LLMCredential.objects.get().api_key.reveal("test") == KEY
    finally:
        for name in ("keys", "fernet_keys", "fernet"):
            field.__dict__.pop(name, None)


def test_without_fernet_keys_a_fernet_token_is_a_missing_key(credential: LLMCredential) -> None:
    store(credential, Fernet(Fernet.generate_key()).encrypt(b"x").decode())

    with pytest.raises(MissingKey):
        LLMCredential.objects.get().api_key.reveal("test")


def test_a_sealed_token_given_as_a_key_is_refused(credential: LLMCredential) -> None:
    credential.set_api_key(stored(credential))

    with pytest.raises(FieldError, match="sealed token"):
        credential.save()


def test_a_deferred_secret_is_loaded_on_use(credential: LLMCredential) -> None:
    row = LLMCredential.objects.defer("api_key").get()

    assert isinstance(row.api_key, Secret)
    assert row.api_key.reveal("test") == KEY
