from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from agents.models import AgentSession
from credentials import services
from credentials.audit import AuditEvent
from credentials.lifecycle import housekeeping, purge_deleted, send_reminders
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


def expiring(owner: User, **left: float) -> LLMCredential:
    return CredentialFactory.create(owner=owner, expires_at=timezone.now() + timedelta(**left))


def test_owners_are_reminded_once_a_week_and_once_a_day_before(alice: User) -> None:
    row = expiring(alice, days=6)
    assert (send_reminders(), send_reminders()) == (1, 0)
    LLMCredential.objects.filter(pk=row.pk).update(expires_at=timezone.now() + timedelta(hours=20))
    assert (send_reminders(), send_reminders()) == (1, 0)

    assert [message.subject.split("expires ")[1] for message in mail.outbox] == [
        "in 7 days",
        "tomorrow",
    ]
    assert mail.outbox[0].to == ["alice@example.test"]


@pytest.mark.parametrize("left", [{"days": 8}, {"days": -1}])
def test_nobody_is_reminded_too_early_or_too_late(alice: User, left: dict[str, float]) -> None:
    expiring(alice, **left)

    assert send_reminders() == 0


def test_a_moved_expiry_date_is_reminded_of_anew(alice: User) -> None:
    row = expiring(alice, hours=5)
    send_reminders()
    services.update_credential(
        credential=LLMCredential.objects.get(), expires_at=timezone.now() + timedelta(days=5)
    )

    assert send_reminders() == 1
    assert row.pk


def test_deleting_a_key_ends_its_sessions_and_tells_the_owner(
    alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    row = CredentialFactory.create(owner=alice)
    ended = AgentSession.objects.create(owner=alice, credential=row)
    other = AgentSession.objects.create(owner=alice)
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_credential(credential=row)

    ended.refresh_from_db()
    other.refresh_from_db()
    assert (ended.status, other.status) == ("terminated", "pending")
    assert "was deleted" in ended.reason
    assert "1 conversation that ran on it has ended" in mail.outbox[0].body


def test_a_deleted_key_is_purged_after_the_grace_period(alice: User, settings: Any) -> None:
    row = CredentialFactory.create(owner=alice)
    services.delete_credential(credential=row)
    assert purge_deleted() == 0
    LLMCredential.objects.update(deleted_at=timezone.now() - timedelta(days=31))
    assert (purge_deleted(), purge_deleted()) == (1, 0)

    row.refresh_from_db()
    assert row.api_key is None
    assert row.last4 and row.fingerprint and row.purged_at
    assert AuditEvent.objects.filter(action="purge").exists()


def test_an_account_takes_its_keys_along_and_leaves_the_trail(alice: User) -> None:
    services.delete_credential(credential=CredentialFactory.create(owner=alice))
    CredentialFactory.create(owner=alice)
    alice.delete()

    assert not LLMCredential.objects.exists()
    assert AuditEvent.objects.filter(action="delete").exists()


def test_housekeeping_runs_from_a_timer(alice: User, capsys: pytest.CaptureFixture[str]) -> None:
    expiring(alice, days=1)
    call_command("housekeeping")

    assert "reminded 1, purged 0" in capsys.readouterr().out
    assert housekeeping() == {"reminded": 0, "purged": 0}
