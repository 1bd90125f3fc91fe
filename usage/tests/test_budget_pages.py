from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credentials.tests.factories import CredentialFactory, UserFactory
from usage.models import Budget

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/usage/budgets"
LUNCH: dict[str, Any] = {
    "name": "Lunch", "limit": "9.50", "unit": "usd", "period": "month", "time_zone": "UTC",
}  # fmt: skip


@pytest.fixture
def session(alice: User) -> APIClient:
    """Alice, signed in as people do."""
    client = APIClient()
    client.force_login(alice)
    return client


@pytest.fixture
def page(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def test_people_make_change_and_delete_their_own_budgets(session: APIClient, alice: User) -> None:
    made = session.post(URL, LUNCH, format="json")
    assert made.status_code == 201, made.json()
    assert (made.json()["limit"], made.json()["spent"]) == ("9.500000000", "0.000000000")
    row = Budget.objects.get()
    assert (row.owner, row.user, row.limit_units, row.is_hard) == (
        alice,
        alice,
        9_500_000_000,
        True,
    )

    changed = session.patch(f"{URL}/{row.pk}", {"limit": "0.1"}, format="json")
    assert changed.json()["limit"] == "0.100000000"
    assert [b["name"] for b in session.get(URL).json()] == ["Lunch"]
    assert session.delete(f"{URL}/{row.pk}").status_code == 204
    assert not Budget.objects.exists()


def test_a_budget_may_be_for_ones_own_key_and_for_no_other(
    session: APIClient, alice: User, bob: User
) -> None:
    mine, his = CredentialFactory.create(owner=alice), CredentialFactory.create(owner=bob)
    refused = session.post(URL, {**LUNCH, "credential_id": str(his.pk)}, format="json")
    made = session.post(URL, {**LUNCH, "credential_id": str(mine.pk)}, format="json")

    assert (refused.status_code, made.status_code) == (400, 201)
    row = Budget.objects.get()
    assert (row.credential, row.user, row.owner) == (mine, None, alice)


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "-1"},
        {"limit": "1e30"},
        {"unit": "euro"},
        {"period": "year"},
        {"time_zone": "Mars"},
    ],
)
def test_what_makes_no_sense_is_refused(session: APIClient, wrong: dict[str, str]) -> None:
    assert session.post(URL, LUNCH | wrong, format="json").status_code == 400


def test_a_program_may_see_budgets_but_not_change_them(api: APIClient, alice: User) -> None:
    row = Budget.objects.create(name="Lunch", owner=alice, user=alice, limit_units=1)

    assert api.get(URL).status_code == 200
    assert api.post(URL, LUNCH, format="json").status_code == 403
    assert api.patch(f"{URL}/{row.pk}", {"limit": "99"}, format="json").status_code == 403
    assert api.delete(f"{URL}/{row.pk}").status_code == 403


def test_what_staff_set_for_a_person_is_seen_and_not_changed(
    session: APIClient, page: Client, alice: User
) -> None:
    given = Budget.objects.create(name="Ceiling", user=alice, limit_units=5_000_000_000)

    assert "Ceiling" in page.get("/usage/budgets/").content.decode()
    assert page.get(f"/usage/budgets/{given.pk}/").status_code == 404
    assert session.delete(f"{URL}/{given.pk}").status_code == 404


def test_the_pages_make_change_and_delete(page: Client, alice: User) -> None:
    form = {**LUNCH, "is_hard": "on", "is_active": "on"}
    assert page.post("/usage/budgets/new", form).status_code == 302
    row = Budget.objects.get()
    assert (row.owner, row.user, row.limit_units) == (alice, alice, 9_500_000_000)

    assert 'value="9.5"' in page.get(f"/usage/budgets/{row.pk}/").content.decode()
    assert page.post(f"/usage/budgets/{row.pk}/", form | {"limit": "3"}).status_code == 302
    assert "$3.00" in page.get("/usage/budgets/").content.decode()
    assert page.post("/usage/budgets/new", form | {"limit": "-3"}).status_code == 422
    assert page.post(f"/usage/budgets/{row.pk}/delete").status_code == 302
    assert not Budget.objects.exists()


def test_staff_keep_everyones_budgets_in_the_admin() -> None:
    client = Client()
    client.force_login(UserFactory.create(username="root", is_staff=True, is_superuser=True))
    form = {**LUNCH, "is_hard": "on", "is_active": "on"}

    assert client.post("/admin/usage/budget/add/", form).status_code == 302
    row = Budget.objects.get()
    assert (row.owner, row.user, row.limit_units) == (None, None, 9_500_000_000)
    assert "Lunch" in client.get("/admin/usage/budget/").content.decode()
    assert client.get(f"/admin/usage/budget/{row.pk}/change/").status_code == 200


def test_the_form_offers_time_zones_and_keeps_the_one_that_is_set(
    page: Client, alice: User
) -> None:
    form = page.get("/usage/budgets/new").content.decode()
    assert '<option value="UTC" selected>' in form
    assert '<option value="America/New_York">America/New York</option>' in form

    row = Budget.objects.create(name="Old", limit_units=1, owner=alice, user=alice, time_zone="EST")
    assert '<option value="EST" selected>' in page.get(f"/usage/budgets/{row.pk}/").content.decode()
