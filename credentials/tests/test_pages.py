"""The list of one's own keys, the page of each, and who may see and change them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents.models import AgentSession, SessionStatus
from credentials.audit import AuditEvent
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory
from credentials.tests.pages import GOOD, text_of
from usage.models import PaidBy, Status, Surface, UsageRecord, UsageSource

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


@pytest.fixture
def page(alice: User, client: Client) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def row(alice: User) -> LLMCredential:
    return CredentialFactory.create(owner=alice, label="work", is_default=True)


def call(row: LLMCredential, cost: str | None, **fields: Any) -> UsageRecord:
    return UsageRecord.objects.create(
        user=row.owner,
        credential=row,
        surface=Surface.API,
        provider=row.provider,
        model="gpt-4o-mini",
        usage_source=UsageSource.REPORTED,
        cost_usd=None if cost is None else Decimal(cost),
        latency_ms=1.0,
        status=Status.OK,
        paid_by=PaidBy.USER,
        **fields,
    )


# The list ---------------------------------------------------------------------------


def test_the_list_shows_what_each_key_cost_this_month(page: Client, row: LLMCredential) -> None:
    call(row, "0.50")
    call(row, "0.25")
    last_month = call(row, "7")
    UsageRecord._base_manager.filter(pk=last_month.pk).update(
        created_at=timezone.now().replace(day=1) - timedelta(days=2)
    )
    text = text_of(page.get("/keys/"))

    assert "$0.75" in text
    assert "$7" not in text


@pytest.mark.parametrize("calls", [[], [None]])
def test_a_cost_that_is_not_known_is_a_dash(
    page: Client, row: LLMCredential, calls: list[None]
) -> None:
    for cost in calls:
        call(row, cost)

    assert "—" in text_of(page.get("/keys/"))
    assert "—" in text_of(page.get(f"/keys/{row.pk}/"))


def test_the_list_says_what_state_a_key_is_in_and_why(page: Client, alice: User) -> None:
    CredentialFactory.create(owner=alice, expires_at=timezone.now() - timedelta(days=1))
    locked = CredentialFactory.create(owner=alice)
    locked.quarantine("OpenAI does not accept this API key.")
    locked.save()
    CredentialFactory.create(owner=alice)
    text = text_of(page.get("/keys/"))

    assert "In quarantine: OpenAI does not accept this API key. Test or replace it" in text
    for badge in ("expired", "quarantined", "active", "simulated"):
        assert f" {badge} " in text


# A key's own page -----------------------------------------------------------------------


def test_a_key_has_a_page_with_its_facts(page: Client, row: LLMCredential) -> None:
    call(row, "0.5")
    text = text_of(page.get(f"/keys/{row.pk}/"))

    for fact in ("work", "********7890", "OpenAI", row.fingerprint, "$0.50", "active", "default"):
        assert fact in text


def test_settings_are_saved(page: Client, row: LLMCredential) -> None:
    day = (timezone.now() + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M")
    values = {"label": "home", "model_name": "gpt-4o", "params": '{"temperature": 0.2}'}
    response = page.post(f"/keys/{row.pk}/", {**values, "expires_at": day}, follow=True)

    row.refresh_from_db()
    assert "Saved." in text_of(response)
    assert (row.label, row.model_name, row.params) == ("home", "gpt-4o", {"temperature": 0.2})
    assert row.expires_at is not None and row.expires_at.strftime("%Y-%m-%dT%H:%M") == day
    event = AuditEvent.objects.get(action="update")
    assert event.detail == "expires_at, label, model_name, params"


def test_saving_what_is_there_changes_nothing(page: Client, alice: User) -> None:
    row = CredentialFactory.create(
        owner=alice, params={"seed": 7}, expires_at=timezone.now() - timedelta(days=1)
    )
    form = page.get(f"/keys/{row.pk}/").context["settings_form"]
    values = {name: form[name].value() or "" for name in form.fields}
    values["expires_at"] = row.expires_at.strftime("%Y-%m-%dT%H:%M")  # type: ignore[union-attr]
    response = page.post(f"/keys/{row.pk}/", values, follow=True)

    assert "There was nothing to save." in text_of(response)
    assert not AuditEvent.objects.filter(action="update").exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"params": "{"}, "This is not JSON."),
        ({"params": '{"extra": {"a": 1e999}}'}, "This is not JSON."),
        ({"params": "[" * 4000}, "This is not JSON."),
        ({"params": "[1]"}, "Write an object"),
        ({"params": '{"temperature": 9}'}, "temperature must be a number from 0 to 2"),
        ({"expires_at": "2020-01-01T00:00"}, "The expiry date is in the past."),
        ({"expires_at": "soon"}, "Enter a valid date/time."),
        ({"label": "taken"}, "already exists"),
    ],
)
def test_a_mistake_in_the_settings_is_told_by_its_field(
    page: Client, row: LLMCredential, values: dict[str, str], said: str
) -> None:
    CredentialFactory.create(owner=row.owner, label="taken")
    response = page.post(f"/keys/{row.pk}/", {"label": "work", **values})

    assert response.status_code == 422
    assert said in text_of(response)
    assert list(response.context["settings_form"].errors) == [next(iter(values))]
    assert response.context["credential"].label == "work"


# Default and deletion ------------------------------------------------------------------------


def test_a_key_becomes_the_default(page: Client, row: LLMCredential) -> None:
    other = CredentialFactory.create(owner=row.owner, label="other")
    response = page.post(f"/keys/{other.pk}/default/", follow=True)

    assert "other is your default now." in text_of(response)
    assert LLMCredential.objects.get(is_default=True) == other
    assert AuditEvent.objects.filter(action="set_default").count() == 1


def test_deleting_says_what_it_will_end(
    page: Client, alice: User, row: LLMCredential, settings: Any
) -> None:
    settings.PURGE_AFTER_DAYS = 12
    for status in (SessionStatus.COMPLETED, SessionStatus.PENDING, SessionStatus.TERMINATED):
        AgentSession.objects.create(owner=alice, credential=row, status=status)
    AccessToken.issue(user=alice, name="pinned", credential=row)
    text = text_of(page.get(f"/keys/{row.pk}/"))

    assert "It ends 2 sessions :" in text, "a third one has ended already"
    assert "1 access token pays with it: calls with it fail." in text
    assert "It is your default" in text
    assert "The sealed key is dropped after 12 days." in text


def test_deleting_ends_it(page: Client, alice: User, row: LLMCredential) -> None:
    session = AgentSession.objects.create(owner=alice, credential=row)
    response = page.post(f"/keys/{row.pk}/delete/", follow=True)

    assert "Key ********7890 deleted." in text_of(response)
    session.refresh_from_db()
    assert session.status == SessionStatus.TERMINATED
    assert page.get(f"/keys/{row.pk}/").status_code == 404


# Whose keys, how often -------------------------------------------------------------------------

ACTIONS = ("", "rotate/", "test/", "default/", "delete/")


@pytest.mark.parametrize("action", ACTIONS)
def test_keys_of_others_are_not_there(page: Client, bob: User, simulator: Any, action: str) -> None:
    foreign = CredentialFactory.create(owner=bob, label="bob's")
    before = LLMCredential.objects.values().get()
    body = {"label": "mine", "api_key": GOOD}

    for pk in (foreign.pk, "00000000-0000-4000-8000-000000000000"):
        assert page.post(f"/keys/{pk}/{action}", body).status_code == 404
    assert page.get(f"/keys/{foreign.pk}/").status_code == 404
    assert LLMCredential.objects.values().get() == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_visitor_has_to_sign_in(client: Client, row: LLMCredential, action: str) -> None:
    for path in (f"/keys/{row.pk}/{action}", "/keys/test/"):
        response = client.post(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("action", ACTIONS[1:])
def test_looking_changes_nothing(page: Client, row: LLMCredential, action: str) -> None:
    assert page.get(f"/keys/{row.pk}/{action}").status_code == 405
