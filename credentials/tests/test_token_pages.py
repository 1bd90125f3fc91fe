from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credentials import trail
from credentials.audit import AuditEvent
from credentials.models import AccessToken, Scope
from credentials.tests.factories import CredentialFactory
from credentials.trail import Action, Actor, record

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
EVENTS_URL = "/api/v1/users/me/audit-events"


@pytest.fixture
def page(alice: User, client: Client) -> Client:
    """Alice's browser."""
    client.force_login(alice)
    return client


def make(page: Client, **values: Any) -> Any:
    body = {"name": "report", "scopes": ["agents"], "credential": "", "lifetime": "30", **values}
    return page.post("/keys/tokens/new/", body)


def test_a_token_is_made_with_a_form_and_shown_once(page: Client, alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    response = make(page, credential=str(credential.pk))

    found = re.search(r"byom_[\w-]{43}", response.content.decode())
    assert found
    row = AccessToken.objects.for_token(found[0])
    assert row is not None
    assert (row.user, row.scopes, row.credential) == (alice, ["agents"], credential)
    assert row.expires_at is not None
    assert "no-store" in response["Cache-Control"]
    assert found[0] not in page.get("/keys/tokens/").content.decode()


def test_a_token_may_keep_answers_for_a_day_at_most(page: Client, api: Any) -> None:
    make(page, cache_seconds="3600")
    assert AccessToken.objects.get(name="report").cache_seconds == 3600
    assert "keeps answers" in page.get("/keys/tokens/").content.decode()
    assert make(page, cache_seconds="7").status_code == 422

    url = "/api/v1/users/me/access-tokens"
    made = api.post(url, {"name": "batch", "cache_seconds": 60}, format="json")
    assert made.json()["cache_seconds"] == 60
    refused = api.post(url, {"name": "batch", "cache_seconds": 86401}, format="json")
    assert refused.status_code == 400


def test_the_list_shows_ones_own_tokens_with_their_state(page: Client, bob: User) -> None:
    make(page, name="mine", lifetime="0")
    AccessToken.issue(user=bob, name="theirs")
    html = page.get("/keys/tokens/").content.decode()

    assert "mine" in html and "theirs" not in html
    assert "never" in html and "agents" in html and "usual order" in html


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scopes": []}, "required"),
        ({"scopes": ["root"]}, "not one of the available"),
        ({"name": ""}, "required"),
        ({"lifetime": "99999"}, "not one of the available"),
        ({"credential": "00000000-0000-4000-8000-000000000000"}, "not one of the available"),
    ],
)
def test_a_mistake_in_the_form_makes_nothing(
    page: Client, values: dict[str, Any], said: str
) -> None:
    response = make(page, **values)

    assert response.status_code == 422
    assert said in response.content.decode()
    assert not AccessToken.objects.exists()


def test_a_foreign_key_can_not_be_chosen(page: Client, bob: User) -> None:
    foreign = CredentialFactory.create(owner=bob, label="bobs key")

    assert "bobs key" not in page.get("/keys/tokens/new/").content.decode()
    assert make(page, credential=str(foreign.pk)).status_code == 422


def test_a_token_is_revoked_with_a_button(page: Client, alice: User) -> None:
    row, _ = AccessToken.issue(user=alice, name="old")
    response = page.post(f"/keys/tokens/{row.pk}/revoke/", follow=True)

    row.refresh_from_db()
    assert row.state == "revoked"
    assert "opens nothing any more" in response.content.decode()


def test_a_foreign_token_is_not_there_to_be_revoked(page: Client, bob: User) -> None:
    foreign, _ = AccessToken.issue(user=bob, name="theirs")

    assert page.post(f"/keys/tokens/{foreign.pk}/revoke/").status_code == 404
    assert page.get(f"/keys/tokens/{foreign.pk}/revoke/").status_code == 405
    foreign.refresh_from_db()
    assert foreign.revoked_at is None


@pytest.mark.parametrize("path", ["/keys/tokens/", "/keys/tokens/new/", "/keys/trail/"])
def test_a_visitor_has_to_sign_in(client: Client, db: None, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def events(alice: User, bob: User) -> None:
    mine, theirs = CredentialFactory.create(owner=alice), CredentialFactory.create(owner=bob)
    with trail.acting(Actor.of_user(alice, address="192.0.2.1")):
        record(Action.UPDATE, mine, detail="label")
    with trail.acting(Actor.of_user(bob, address="192.0.2.2")):
        record(Action.DELETE, mine)
        record(Action.DELETE, theirs, detail="bob's own")


def test_the_trail_shows_what_was_done_to_ones_own_keys(
    page: Client, alice: User, bob: User
) -> None:
    events(alice, bob)
    html = page.get("/keys/trail/").content.decode()

    assert "Key changed" in html and "192.0.2.1" in html
    assert "Key deleted" in html and "bob" in html
    assert "bob&#x27;s own" not in html
    assert "192.0.2.2" not in html


def test_the_trail_has_pages(page: Client, alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    for number in range(51):
        record(Action.READ, credential, detail=f"number {number}.")

    assert "number 0." not in page.get("/keys/trail/").content.decode()
    assert "number 0." in page.get("/keys/trail/?page=2").content.decode()
    assert page.get("/keys/trail/?page=x").status_code == 200


def test_the_api_gives_the_same_trail_the_latest_first(api: Any, alice: User, bob: User) -> None:
    events(alice, bob)
    body = api.get(f"{EVENTS_URL}?limit=1").json()

    assert body["count"] == 2
    [latest] = body["results"]
    assert (latest["action"], latest["actor_name"], latest["address"]) == ("delete", "bob", None)
    first = api.get(f"{EVENTS_URL}/1").json()
    assert (first["action"], first["address"]) == ("update", "192.0.2.1")


def test_a_foreign_event_answers_as_one_that_never_was(api: Any, alice: User, bob: User) -> None:
    events(alice, bob)
    foreign = AuditEvent.objects.get(owner_id=bob.pk).pk
    answers = [api.get(f"{EVENTS_URL}/{pk}") for pk in (foreign, 999, "x")]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("verb", ["post", "put", "patch", "delete"])
def test_nobody_changes_the_trail_by_the_api(api: Any, alice: User, bob: User, verb: str) -> None:
    events(alice, bob)

    for url in (EVENTS_URL, f"{EVENTS_URL}/1"):
        assert getattr(api, verb)(url, {}, format="json").status_code == 405


def test_staff_see_every_event_and_change_none(
    admin_client: Client, alice: User, bob: User
) -> None:
    events(alice, bob)
    url = "/admin/credentials/auditevent/"

    assert "bob&#x27;s own" in admin_client.get(f"{url}3/change/").content.decode()
    assert admin_client.post(f"{url}3/change/", {"detail": "x"}).status_code == 403
    assert admin_client.post(f"{url}3/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get(f"{url}add/").status_code == 403


def test_the_scopes_are_explained_in_the_form(page: Client) -> None:
    html = page.get("/keys/tokens/new/").content.decode()

    assert all(str(scope.label) in html for scope in Scope)
