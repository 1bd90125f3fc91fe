"""Staff and keys: the system's own are theirs to enter, people's are not."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from agents.models import AgentSession, SessionStatus
from credentials.audit import AuditEvent
from credentials.models import LLMCredential
from credentials.tests.factories import SIMULATOR_KEYS, CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/admin/credentials/llmcredential/"
GOOD = SIMULATOR_KEYS["openai"]
NEXT = "sk-sim-ok-0987654321"
EMPTY = {"label": "", "model_name": "", "params": "", "base_url": "", "api_key": ""}


@pytest.fixture
def system_key() -> LLMCredential:
    return CredentialFactory.create(owner=None, label="ours", is_default=True)


@pytest.fixture
def staff(admin_client: Client) -> Client:
    return admin_client


def html_of(response: Any) -> str:
    """The page, and proof that no key is on it."""
    html = str(response.content.decode())
    assert GOOD not in html and NEXT not in html and "byom1:" not in html
    return html


def add(staff: Client, **values: Any) -> Any:
    body = {**EMPTY, "provider": "openai", "api_key": GOOD, **values}
    return staff.post(f"{URL}add/", body, follow=True)


def change(staff: Client, row: LLMCredential, **values: Any) -> Any:
    stays = {"label": row.label, "is_default": "on" if row.is_default else ""}
    return staff.post(f"{URL}{row.pk}/change/", {**EMPTY, **stays, **values}, follow=True)


def act(staff: Client, action: str, *rows: LLMCredential) -> str:
    body = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    text = re.sub(r"<[^>]+>", "", html_of(staff.post(URL, body, follow=True)))
    return " ".join(text.split())


def actions_of(row: LLMCredential) -> list[str]:
    events = AuditEvent.objects.filter(object_id=str(row.pk)).order_by("position")
    return list(events.values_list("action", flat=True))


# The system's own keys -------------------------------------------------------------------


def test_staff_add_a_key_of_the_system(staff: Client, admin_user: User) -> None:
    day = timezone.now() + timedelta(days=9)
    expires = {"expires_at_0": day.strftime("%Y-%m-%d"), "expires_at_1": "12:00:00"}
    html_of(add(staff, label="ours", model_name="gpt-4o", params='{"seed": 7}', **expires))

    row = LLMCredential.objects.get()
    assert (row.owner, row.label, row.model_name) == (None, "ours", "gpt-4o")
    assert row.is_default, "the first one"
    assert row.params == {"seed": 7} and row.expires_at is not None
    assert row.api_key.reveal("test") == GOOD
    event = AuditEvent.objects.get()
    assert (event.action, event.actor_id) == ("create", admin_user.pk)


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"api_key": ""}, "api_key", "required"),
        ({"api_key": "short"}, "api_key", "8 to 512 characters"),
        ({"api_key": "sk-admin-0123456789"}, "api_key", "this is an admin key"),
        ({"provider": GOOD}, "provider", "Choose one of the providers"),
        ({"provider": "openai_compatible"}, "base_url", "needs a base URL"),
        ({"label": "ours"}, "label", "already exists"),
        ({"params": "{"}, "params", "This is not JSON."),
        (
            {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"},
            "expires_at",
            "The expiry date is in the past.",
        ),
    ],
)
def test_what_is_refused_is_told_by_its_field_and_not_saved(
    staff: Client, system_key: LLMCredential, values: dict[str, str], field: str, said: str
) -> None:
    response = add(staff, **values)

    assert said in html_of(response)
    assert list(response.context["adminform"].form.errors) == [field]
    assert LLMCredential.objects.count() == 1


def test_a_key_is_entered_blindly_and_never_filled_in(
    staff: Client, system_key: LLMCredential
) -> None:
    for path in ("add/", f"{system_key.pk}/change/"):
        [field] = re.findall(r'<input[^>]*name="api_key"[^>]*>', html_of(staff.get(URL + path)))
        assert 'type="password"' in field and "value=" not in field


def test_settings_are_changed_and_the_key_stays(staff: Client, system_key: LLMCredential) -> None:
    html_of(change(staff, system_key, label="home", params='{"seed": 7}'))

    system_key.refresh_from_db()
    assert (system_key.label, system_key.params) == ("home", {"seed": 7})
    assert system_key.is_default and system_key.api_key.reveal("test") == GOOD
    assert actions_of(system_key) == ["update"]


def test_a_new_key_replaces_the_old_one(staff: Client, system_key: LLMCredential) -> None:
    html_of(change(staff, system_key, api_key=NEXT))

    system_key.refresh_from_db()
    assert system_key.api_key.reveal("test") == NEXT
    assert actions_of(system_key) == ["rotate"]


def test_of_several_changes_all_are_made_or_none(staff: Client, system_key: LLMCredential) -> None:
    CredentialFactory.create(owner=None, label="taken")
    response = change(staff, system_key, api_key=NEXT, label="taken")

    assert "already exists" in html_of(response)
    system_key.refresh_from_db()
    assert (system_key.label, system_key.api_key.reveal("test")) == ("ours", GOOD)
    assert actions_of(system_key) == []


def test_a_new_base_url_needs_the_key_again(staff: Client) -> None:
    row = CredentialFactory.create(
        owner=None, provider="openai_compatible", base_url="https://one.example/v1"
    )
    response = change(staff, row, base_url="https://two.example/v1")
    assert list(response.context["adminform"].form.errors) == ["api_key"]
    assert "pinned to its host" in html_of(response)

    html_of(change(staff, row, base_url="https://two.example/v1", api_key=NEXT))
    row.refresh_from_db()
    assert row.base_url == "https://two.example/v1"


def test_another_key_becomes_the_default_of_the_system(
    staff: Client, system_key: LLMCredential
) -> None:
    other = CredentialFactory.create(owner=None)
    change(staff, other, is_default="on")
    assert LLMCredential.objects.get(is_default=True) == other

    other.refresh_from_db()
    change(staff, other, is_default="")
    assert not LLMCredential.objects.filter(is_default=True).exists()


# People's own keys ------------------------------------------------------------------------


def test_staff_can_not_enter_a_key_for_somebody(staff: Client, alice: User) -> None:
    row = CredentialFactory.create(owner=alice, base_url="https://one.example/v1")
    assert 'name="api_key"' not in html_of(staff.get(f"{URL}{row.pk}/change/"))
    assert 'name="owner"' not in html_of(staff.get(f"{URL}add/"))

    change(staff, row, api_key=NEXT, base_url="https://two.example/v1", label="new")
    row.refresh_from_db()
    assert (row.label, row.base_url) == ("new", "https://one.example/v1")
    assert row.api_key.reveal("test") == GOOD


# Actions -------------------------------------------------------------------------------------


def test_keys_are_tested_and_each_has_its_answer(
    staff: Client, alice: User, system_key: LLMCredential, simulator: Any
) -> None:
    refused = CredentialFactory.create(owner=alice, label="bad", key="sk-sim-401-1234567890")
    broken = CredentialFactory.create(owner=alice, label="odd", key="sk-sim-500-1234567890")
    text = act(staff, "test", system_key, refused, broken)

    assert re.search(
        r"(?i)ours \(\*+7890\): OpenAI accepts this key; [^.]*\. The answer took \d+ ms", text
    )
    assert "Bad (********7890): OpenAI does not accept this API key." in text
    assert "Odd (********7890): The key could not be tested" in text
    refused.refresh_from_db()
    assert refused.state == "quarantined"


def test_a_quarantine_is_begun_and_ended_by_hand(
    staff: Client, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    row = CredentialFactory.create(owner=alice)
    with django_capture_on_commit_callbacks(execute=True):
        assert "No call uses it from now on." in act(staff, "quarantine", row)
    assert "It is quarantined." in act(staff, "quarantine", row)
    assert [message.to for message in mail.outbox] == [[alice.email]]

    assert "Calls may use it again." in act(staff, "lift_quarantine", row)
    assert "It is active." in act(staff, "lift_quarantine", row)
    assert actions_of(row) == ["quarantine", "lift"]


def test_a_key_is_deactivated_with_its_sessions(staff: Client, alice: User) -> None:
    row = CredentialFactory.create(owner=alice)
    session = AgentSession.objects.create(owner=alice, credential=row)
    assert "Its sessions have ended" in act(staff, "deactivate", row)
    assert "It is deleted already." in act(staff, "deactivate", row)

    session.refresh_from_db()
    assert session.status == SessionStatus.TERMINATED
    assert actions_of(row) == ["delete"]
    assert 'name="label"' not in html_of(staff.get(f"{URL}{row.pk}/change/"))
    assert change(staff, row, label="x").status_code == 403


def test_deleting_is_soft_here_too(staff: Client, system_key: LLMCredential) -> None:
    assert 'value="delete_selected"' not in html_of(staff.get(URL))
    html_of(staff.get(f"{URL}{system_key.pk}/delete/"))
    staff.post(f"{URL}{system_key.pk}/delete/", {"post": "yes"})

    system_key.refresh_from_db()
    assert (system_key.is_active, actions_of(system_key)) == (False, ["delete"])


@pytest.mark.parametrize("action", ["test", "quarantine", "lift_quarantine", "deactivate"])
def test_who_may_only_look_can_not_act(client: Client, alice: User, action: str) -> None:
    from django.contrib.auth.models import Permission

    alice.is_staff = True
    alice.save()
    alice.user_permissions.add(Permission.objects.get(codename="view_llmcredential"))
    client.force_login(alice)
    row = CredentialFactory.create(owner=alice)
    act(client, action, row)

    assert actions_of(row) == []
    html_of(client.get(f"{URL}{row.pk}/change/"))
    assert client.get(f"{URL}add/").status_code == 403


# Finding, and what stays behind -----------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "quarantined", "expired", "deleted"])
def test_keys_are_found_by_the_state_they_say_they_are_in(staff: Client, state: str) -> None:
    now, past = timezone.now(), timezone.now() - timedelta(days=1)
    for is_active in (True, False):
        for quarantined_at in (None, now):
            for expires_at in (None, past, now + timedelta(days=1)):
                CredentialFactory.create(
                    is_active=is_active, quarantined_at=quarantined_at, expires_at=expires_at
                )
    LLMCredential.objects.exclude(quarantined_at=None).update(quarantine_reason="refused")
    found = staff.get(f"{URL}?state={state}").context["cl"].queryset

    assert set(found) == {row for row in LLMCredential.objects.all() if row.state == state}


def test_the_systems_keys_are_told_from_peoples(
    staff: Client, alice: User, system_key: LLMCredential
) -> None:
    own = CredentialFactory.create(owner=alice)

    assert list(staff.get(f"{URL}?of=system").context["cl"].queryset) == [system_key]
    assert list(staff.get(f"{URL}?of=people").context["cl"].queryset) == [own]


def test_no_key_is_left_in_histories_and_logs(
    staff: Client, caplog: Any, system_key: LLMCredential
) -> None:
    caplog.set_level("DEBUG")
    add(staff, label="second")
    change(staff, system_key, api_key=NEXT, label="home")
    html_of(staff.get(f"{URL}{system_key.pk}/history/"))
    left = [*LogEntry.objects.values_list("change_message", "object_repr"), caplog.text]
    left += AuditEvent.objects.values_list("detail", flat=True)

    assert LogEntry.objects.count() == 2
    assert GOOD not in str(left) and NEXT not in str(left)
