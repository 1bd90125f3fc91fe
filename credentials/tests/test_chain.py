from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from credentials.audit import AuditEvent
from credentials.chain import Head, export_head, verify
from credentials.tests.factories import CredentialFactory
from credentials.trail import Action, record

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
EVENTS = 6


@pytest.fixture(autouse=True)
def events(alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    for number in range(EVENTS):
        record(Action.READ, credential, detail=str(number))


def by_hand(*statements: str) -> None:
    """As who owns the database can: the trigger is in nobody's way then."""
    table = " ON credentials_auditevent" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER IF EXISTS audit_append_only{table}")
        for statement in statements:
            cursor.execute(statement)


def rewrite_from(position: int) -> None:
    """A forger who recomputes the chain: all digests fit again, the head too."""
    rows = AuditEvent.objects.filter(position__gte=position - 1).order_by("position")
    before, *after = rows
    for event in after:
        event.previous = before.digest
        event.digest = event.compute_digest()
        by_hand(
            f"UPDATE credentials_auditevent SET previous = '{event.previous}', "
            f"digest = '{event.digest}' WHERE position = {event.position}"
        )
        before = event
    by_hand(f"UPDATE credentials_audithead SET digest = '{before.digest}'")


def flaws(exported: Head | None = None) -> list[tuple[int, str]]:
    return [(flaw.position, flaw.what) for flaw in verify(exported).flaws]


def test_a_trail_that_nobody_touched_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("export_audit", str(tmp_path / "head.json"))
    call_command("verify_audit", "--head", str(tmp_path / "head.json"))

    out = capsys.readouterr().out
    assert "6 events in 0." in out
    assert "is whole, and the head of 2" in out


@pytest.mark.parametrize("column", ["detail", "actor_name", "action", "last4", "object_id"])
def test_an_edited_event_is_found(column: str) -> None:
    by_hand(f"UPDATE credentials_auditevent SET {column} = 'ed' WHERE position = 3")

    [(position, what)] = flaws()
    assert (position, what) == (3, "was edited: its digest does not fit its contents.")


def test_an_edited_event_with_a_new_digest_is_found_at_the_next_one() -> None:
    by_hand("UPDATE credentials_auditevent SET detail = 'ed' WHERE position = 3")
    event = AuditEvent.objects.get(position=3)
    by_hand(
        f"UPDATE credentials_auditevent SET digest = '{event.compute_digest()}' WHERE position = 3"
    )

    [(position, what)] = flaws()
    assert position == 4
    assert "does not follow" in what


def test_a_removed_event_is_found() -> None:
    by_hand("DELETE FROM credentials_auditevent WHERE position = 3")

    assert flaws() == [(3, "is missing: the next one there is 4.")]


def test_the_first_event_removed_is_found() -> None:
    by_hand("DELETE FROM credentials_auditevent WHERE position = 1")

    assert flaws() == [(1, "is missing: the next one there is 2.")]


def test_a_removed_event_is_found_where_the_others_moved_up() -> None:
    by_hand("DELETE FROM credentials_auditevent WHERE position = 3")
    for position in range(4, EVENTS + 1):
        by_hand(
            f"UPDATE credentials_auditevent SET position = {position - 1} "
            f"WHERE position = {position}"
        )

    assert flaws()[0][0] == 3


def test_two_events_that_changed_places_are_found() -> None:
    by_hand(
        "UPDATE credentials_auditevent SET position = 100 WHERE position = 2",
        "UPDATE credentials_auditevent SET position = 2 WHERE position = 3",
        "UPDATE credentials_auditevent SET position = 3 WHERE position = 100",
    )

    assert {position for position, _ in flaws()} == {2, 3, 4}


def test_an_end_that_was_cut_off_is_found() -> None:
    by_hand("DELETE FROM credentials_auditevent WHERE position > 4")

    [(position, what)] = flaws()
    assert position == EVENTS
    assert "the trail ends at 4: its end was cut off" in what


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE credentials_audithead SET position = 4",
        "UPDATE credentials_audithead SET digest = 'x'",
        "DELETE FROM credentials_audithead",
    ],
)
def test_a_head_that_does_not_fit_is_found(statement: str) -> None:
    by_hand(statement)

    [(position, what)] = flaws()
    assert position == EVENTS
    assert "does not fit" in what


def test_only_an_exported_head_finds_an_end_cut_off_together_with_the_head(tmp_path: Path) -> None:
    exported = export_head(tmp_path / "head.json")
    digest = AuditEvent.objects.get(position=4).digest
    by_hand(
        "DELETE FROM credentials_auditevent WHERE position > 4",
        f"UPDATE credentials_audithead SET position = 4, digest = '{digest}'",
    )

    assert flaws() == []
    [(position, what)] = flaws(exported)
    assert (position, "ends at 4" in what) == (EVENTS, True)


def test_only_an_exported_head_finds_a_chain_that_was_rewritten(tmp_path: Path) -> None:
    exported = export_head(tmp_path / "head.json")
    by_hand("UPDATE credentials_auditevent SET detail = 'ed' WHERE position = 3")
    rewrite_from(3)

    assert flaws() == []
    [(position, what)] = flaws(exported)
    assert (position, "rewritten" in what) == (EVENTS, True)


def test_an_exported_head_still_fits_when_the_trail_has_grown(tmp_path: Path, alice: User) -> None:
    exported = export_head(tmp_path / "head.json")
    record(Action.READ, CredentialFactory.create(owner=alice))

    assert flaws(exported) == []


def test_an_empty_trail_is_whole_until_its_exported_head_says_otherwise(tmp_path: Path) -> None:
    exported = export_head(tmp_path / "head.json")
    by_hand("DELETE FROM credentials_auditevent", "DELETE FROM credentials_audithead")

    assert flaws() == []
    assert flaws(exported)[0][0] == EVENTS


def test_a_broken_trail_ends_the_command_with_1_and_the_position(
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_hand("UPDATE credentials_auditevent SET detail = 'ed' WHERE position = 3")

    with pytest.raises(CommandError) as caught:
        call_command("verify_audit")
    assert caught.value.returncode == 1
    assert "Event 3 was edited" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"position": "x"}'])
def test_a_head_that_cannot_be_read_ends_the_command_with_2(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "head.json"
    if text is not None:
        file.write_text(text)

    with pytest.raises(CommandError, match="can't be read") as caught:
        call_command("verify_audit", "--head", str(file))
    assert caught.value.returncode == 2


def test_the_head_and_the_events_are_exported_to_private_files(tmp_path: Path) -> None:
    head, events = tmp_path / "head.json", tmp_path / "events.jsonl"
    head.write_text("old")
    call_command("export_audit", str(head), "--events", str(events))

    assert {file.stat().st_mode & 0o777 for file in (head, events)} == {0o600}
    assert sorted(tmp_path.iterdir()) == [events, head]
    facts = json.loads(head.read_text())
    assert (facts["position"], facts["count"]) == (EVENTS, EVENTS)
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["position"] for line in lines] == list(range(1, EVENTS + 1))
    assert lines[-1]["digest"] == facts["digest"]


def test_a_place_that_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be written"):
        call_command("export_audit", str(tmp_path / "absent" / "head.json"))


def test_a_thousand_events_are_verified_within_seconds(alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    for _ in range(1000):
        record(Action.READ, credential)

    start = perf_counter()
    assert verify().is_whole
    assert perf_counter() - start < 2
