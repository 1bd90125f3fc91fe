from __future__ import annotations

import base64
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from credentials.audit import AuditEvent
from credentials.models import LLMCredential, VaultCanary
from credentials.rotation import pending_by_key, rehearse, rotate
from credentials.tests.factories import CredentialFactory
from credentials.vault import KeyRing, reveals, ring

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
K2 = f"k2:{base64.b64encode(b'2' * 32).decode()}"


def key(number: int) -> str:
    return f"sk-proj-{number:012d}"


def stored(row: LLMCredential) -> str:
    return str(LLMCredential.objects.get(pk=row.pk).api_key.token)


def store(row: LLMCredential, token: str) -> None:
    assert LLMCredential.objects.swap_token("api_key", pk=row.pk, old=stored(row), new=token)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("rotate_keys", *arguments, stdout=out, stderr=out)
    return out.getvalue()


@pytest.fixture
def rows(db: None, alice: User, settings: Any) -> list[LLMCredential]:
    """Five rows under t1, on a ring whose current key is k2."""
    made = [CredentialFactory.create(owner=alice, key=key(number)) for number in range(5)]
    settings.ENCRYPTION_KEYS = f"{K2},{settings.ENCRYPTION_KEYS}"
    return made


def test_every_row_comes_to_the_current_key_and_opens(
    rows: list[LLMCredential], settings: Any
) -> None:
    report = rotate(batch=2)
    settings.ENCRYPTION_KEYS = K2

    assert (report.sealed, report.is_complete, pending_by_key()) == (5, True, {})
    for number, row in enumerate(rows):
        row.refresh_from_db()
        assert row.api_key.reveal("test") == key(number)
        assert (row.key_kid, row.fingerprint) == ("k2", ring().fingerprint(key(number)))
    assert VaultCanary.objects.filter(kid="k2").exists()


def test_inactive_rows_are_sealed_anew_and_purged_ones_passed_over(
    rows: list[LLMCredential],
) -> None:
    LLMCredential.objects.filter(pk=rows[0].pk).update(is_active=False)
    purged = LLMCredential.objects.get(pk=rows[1].pk)
    purged.api_key = None
    purged.save()

    assert rotate().sealed == 4
    assert stored(rows[0]).startswith("byom1:k2:")
    assert run("--check")


def test_edit_times_are_people_s_and_do_not_move(rows: list[LLMCredential]) -> None:
    rotate()

    assert LLMCredential.objects.get(pk=rows[0].pk).updated_at == rows[0].updated_at


def test_what_cannot_be_opened_is_reported_and_left_as_it_is(rows: list[LLMCredential]) -> None:
    first, second = stored(rows[0]), stored(rows[1])
    store(rows[0], second)
    store(rows[1], "byom1:gone:AAAA")

    with pytest.raises(CommandError, match="2 keys can't be opened"):
        run()
    report = rotate()
    assert {pk: reason.split(".")[0] for pk, reason in report.unreadable.items()} == {
        rows[0].pk: "Tampered",
        rows[1].pk: "MissingKey",
    }
    assert (stored(rows[0]), stored(rows[1])) == (second, "byom1:gone:AAAA")
    assert stored(rows[2]).startswith("byom1:k2:")
    store(rows[0], first)
    assert rotate().sealed == 1


def test_the_report_shows_ids_and_reasons_and_no_token(
    rows: list[LLMCredential], capsys: Any
) -> None:
    store(rows[0], stored(rows[1]))
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("rotate_keys", stdout=out, stderr=out)

    assert f"{rows[0].pk}: Tampered" in out.getvalue()
    assert "byom1:" not in out.getvalue() and "sk-proj" not in out.getvalue()


def test_fernet_tokens_of_an_import_are_sealed_anew(
    rows: list[LLMCredential], settings: Any
) -> None:
    field = LLMCredential._meta.get_field("api_key")
    settings.FERNET_KEYS = ["an old passphrase"]
    field.__dict__.pop("keys", None)
    try:
        store(rows[0], Fernet(field.fernet_keys[0]).encrypt(key(0).encode()).decode())
        LLMCredential.objects.filter(pk=rows[0].pk).update(key_kid="")
        if connection.vendor == "sqlite":  # the package's own column held bytes
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE credentials_llmcredential SET api_key = CAST(api_key AS BLOB) "
                    "WHERE key_kid = ''"
                )
        assert rotate().is_complete
    finally:
        for name in ("keys", "fernet_keys", "fernet"):
            field.__dict__.pop(name, None)
    assert stored(rows[0]).startswith("byom1:k2:")
    assert LLMCredential.objects.get(pk=rows[0].pk).api_key.reveal("test") == key(0)


def test_a_rehearsal_opens_all_and_writes_nothing(rows: list[LLMCredential]) -> None:
    before = [stored(row) for row in rows]
    said = run("--dry-run")

    assert "5 keys could be sealed under k2." in said
    assert [stored(row) for row in rows] == before
    assert not VaultCanary.objects.exists()
    assert rehearse().sealed == 5


def test_check_fails_until_all_is_done_and_says_what_is_where(rows: list[LLMCredential]) -> None:
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("rotate_keys", "--check", stdout=out)
    assert (out.getvalue(), caught.value.returncode) == ("t1: 5\n", 1)

    run()
    assert run("--check") == "Every key is sealed under k2.\n"


def test_progress_is_told_in_lines_where_there_is_no_terminal(rows: list[LLMCredential]) -> None:
    assert run("--batch", "2").splitlines() == [
        "2 of 5",
        "4 of 5",
        "5 of 5",
        "5 keys were sealed under k2.",
    ]


def test_a_second_run_has_nothing_to_do(rows: list[LLMCredential]) -> None:
    run()

    assert run() == "0 keys were sealed under k2.\n"


@pytest.mark.parametrize("batch", ["0", "-1"])
def test_a_batch_of_nothing_is_refused(db: None, batch: str) -> None:
    with pytest.raises(CommandError, match="1 or more"):
        call_command("rotate_keys", "--batch", batch)


def test_with_a_wrong_current_key_not_one_row_is_touched(
    rows: list[LLMCredential], settings: Any
) -> None:
    VaultCanary.objects.create(kid="k2", token="byom1:k2:of another key")

    with pytest.raises(CommandError, match="Key k2"):
        run()
    assert all(stored(row).startswith("byom1:t1:") for row in rows)


def test_a_token_is_swapped_only_for_the_one_that_was_read(rows: list[LLMCredential]) -> None:
    read = stored(rows[0])
    person = LLMCredential.objects.get(pk=rows[0].pk)
    person.set_api_key("sk-proj-replaced-meanwhile")
    person.save()
    swap = LLMCredential.objects.swap_token

    assert not swap("api_key", pk=rows[0].pk, old=read, new="byom1:k2:x", key_kid="k2")
    found = LLMCredential.objects.get(pk=rows[0].pk)
    assert found.api_key.reveal("test") == "sk-proj-replaced-meanwhile"


@pytest.mark.parametrize("loaded", [[], ["label"], ["api_key", "label", "owner"]])
def test_saving_what_was_read_before_does_not_undo_a_rotation(
    rows: list[LLMCredential], loaded: list[str]
) -> None:
    everything = LLMCredential.objects.only(*loaded) if loaded else LLMCredential.objects.all()
    read_before = everything.get(pk=rows[0].pk)
    rotate()
    read_before.label = "renamed"
    read_before.save()

    found = LLMCredential.objects.get(pk=rows[0].pk)
    assert (found.label, found.key_kid) == ("renamed", "k2")
    assert found.fingerprint == ring().fingerprint(key(0))
    assert found.api_key.reveal("test") == key(0)


def test_the_trail_says_which_rows_were_sealed_anew(rows: list[LLMCredential]) -> None:
    run()
    events = AuditEvent.objects.filter(action="reseal", actor_name="command line")

    assert {event.object_id for event in events} == {str(row.pk) for row in rows}
    assert {event.detail for event in events} == {"from t1 to k2"}


def test_opening_is_counted_by_purpose(rows: list[LLMCredential]) -> None:
    before = reveals.snapshot()["rotate"]
    rotate()

    assert reveals.snapshot()["rotate"] == before + 5


def test_a_new_key_is_one_row_for_the_ring_under_a_free_name(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = f"{K2},k1:{base64.b64encode(b'1' * 32).decode()}"
    out = StringIO()
    call_command("generate_encryption_key", stdout=out)

    assert KeyRing.parse(out.getvalue()).current == "k3"


def test_a_new_key_takes_the_name_it_is_given(settings: Any) -> None:
    out = StringIO()
    call_command("generate_encryption_key", "--kid", "2027a", stdout=out)

    assert KeyRing.parse(out.getvalue()).current == "2027a"


@pytest.mark.parametrize("kid", ["k2", "k:1"])
def test_a_name_that_is_taken_or_no_name_is_refused(settings: Any, kid: str) -> None:
    settings.ENCRYPTION_KEYS = K2

    with pytest.raises(CommandError):
        call_command("generate_encryption_key", "--kid", kid)
