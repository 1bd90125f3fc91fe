from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from credentials import tokens
from credentials.audit import AuditEvent
from credentials.errors import BeyondMaker
from credentials.models import AccessToken, Scope, token_digest
from credentials.tests.factories import CredentialFactory
from credentials.trail import Action

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
URL = "/api/v1/users/me/access-tokens"
ABSENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def session(alice: User) -> APIClient:
    """Alice, signed in as with a browser."""
    api = APIClient()
    api.force_login(alice)
    return api


def with_token(token: str) -> APIClient:
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return api


def post(api: APIClient, **body: Any) -> Any:
    return api.post(URL, {"name": "report", **body}, format="json")


def test_a_token_is_shown_once_and_works(session: APIClient, alice: User) -> None:
    response = post(session, scopes=["usage:read", "agents", "agents"])

    assert response.status_code == 201
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    token = body.pop("token")
    row = AccessToken.objects.get()
    assert (row.user, row.digest, row.made_by) == (alice, token_digest(token), None)
    assert (body["scopes"], body["state"]) == (["agents", "usage:read"], "active")
    assert session.get(f"{URL}/{row.pk}").json() == body
    assert session.get(URL).json() == [body]
    assert with_token(token).get("/api/v1/usage/records").status_code == 200


def test_only_a_hash_of_the_token_is_stored(session: APIClient) -> None:
    token = post(session).json()["token"]

    row = AccessToken.objects.values().get()
    events = list(AuditEvent.objects.values())
    assert token not in f"{row}{events}"
    assert token[12:] not in f"{row}{events}"


def test_without_scopes_a_token_may_all(session: APIClient) -> None:
    assert post(session).json()["scopes"] == list(Scope.values)


def test_a_token_is_pinned_and_expires(session: APIClient, alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    end = timezone.now() + timedelta(days=1)
    body = post(session, credential_id=str(credential.pk), expires_at=end.isoformat()).json()

    assert body["credential_id"] == str(credential.pk)
    assert AccessToken.objects.get().expires_at == end


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"scopes": ["agents", "root"]}, 400, "unknown_scope", "Unknown scope: root."),
        ({"scopes": ["root"]}, 400, "unknown_scope", "credentials:write, agents, gateway"),
        ({"scopes": []}, 400, "unknown_scope", "one or several of"),
        ({"scopes": "agents"}, 400, "invalid", "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 400, "expiry_passed", "in the past"),
        ({"expires_at": "soon"}, 400, "invalid", "expires_at"),
        ({"name": ""}, 400, "invalid", "name"),
        ({"name": "x" * 81}, 400, "invalid", "name"),
        ({"credential_id": "x"}, 400, "invalid", "credential_id"),
        ({"credential_id": ABSENT}, 404, "not_found", "no such credential"),
    ],
)
def test_bad_input_gets_a_sentence_and_makes_nothing(
    session: APIClient, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    response = post(session, **body)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert said in response.json()["detail"]
    assert not AccessToken.objects.exists()


def test_a_foreign_credential_answers_as_one_that_never_was(session: APIClient, bob: User) -> None:
    foreign = CredentialFactory.create(owner=bob)
    answers = [post(session, credential_id=str(pk)) for pk in (foreign.pk, ABSENT)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_a_credential_that_is_not_usable_is_refused(session: APIClient, alice: User) -> None:
    ended = CredentialFactory.create(owner=alice, is_active=False)

    assert post(session, credential_id=str(ended.pk)).json()["code"] == "credential_inactive"


@pytest.mark.parametrize("verb", ["get", "delete"])
def test_a_foreign_token_answers_as_one_that_never_was(
    session: APIClient, bob: User, verb: str
) -> None:
    foreign, _ = AccessToken.issue(user=bob, name="bob's")
    ids = [foreign.pk, 999_999, "99999999999999999999999", "x", "-1"]
    answers = [getattr(session, verb)(f"{URL}/{pk}") for pk in ids]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    foreign.refresh_from_db()
    assert foreign.revoked_at is None


def test_a_revoked_token_opens_nothing_and_stays_in_the_list(session: APIClient) -> None:
    body = post(session).json()

    assert session.delete(f"{URL}/{body['id']}").status_code == 204
    assert with_token(body["token"]).get(URL).status_code == 401
    [row] = session.get(URL).json()
    assert (row["id"], row["state"]) == (body["id"], "revoked")


def test_revoking_twice_keeps_the_first_time(session: APIClient) -> None:
    pk = post(session).json()["id"]
    session.delete(f"{URL}/{pk}")
    first = AccessToken.objects.get().revoked_at

    assert session.delete(f"{URL}/{pk}").status_code == 204
    assert AccessToken.objects.get().revoked_at == first
    assert AuditEvent.objects.filter(action=Action.TOKEN_REVOKE).count() == 1


def test_an_expired_token_says_so_in_the_list(session: APIClient, alice: User) -> None:
    AccessToken.issue(user=alice, name="old", expires_at=timezone.now())

    assert [row["state"] for row in session.get(URL).json()] == ["expired"]


def test_a_token_can_not_be_changed(session: APIClient) -> None:
    pk = post(session).json()["id"]

    assert session.patch(f"{URL}/{pk}", {"scopes": []}, format="json").status_code == 405


def test_making_and_revoking_are_in_the_trail(session: APIClient, alice: User) -> None:
    body = post(session, scopes=["agents"]).json()
    session.delete(f"{URL}/{body['id']}")

    made, revoked = AuditEvent.objects.order_by("position")
    assert (made.action, revoked.action) == ("token_create", "token_revoke")
    assert (made.object_type, made.object_id) == ("access_token", str(body["id"]))
    assert made.detail == f"report ({body['prefix']}…): agents"
    assert (made.owner_id, made.actor_name) == (alice.pk, "alice")


def maker(user: User, **values: Any) -> tuple[AccessToken, APIClient]:
    row, token = AccessToken.issue(user=user, name="maker", **values)
    return row, with_token(token)


def test_a_token_makes_tokens_with_its_own_power(alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    end = timezone.now() + timedelta(days=1)
    scopes = ["credentials:write", "agents"]
    row, api = maker(alice, scopes=scopes, credential=credential, expires_at=end)

    assert post(api).status_code == 201
    made = row.made.get()
    assert (made.scopes, made.credential, made.expires_at) == (scopes, credential, end)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"scopes": ["agents", "usage:read"]}, "lacks itself: usage:read"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "lasts longer"),
        ({"credential_id": "another"}, "another credential"),
    ],
)
def test_a_token_can_not_make_one_with_more_power(
    alice: User, body: dict[str, Any], said: str
) -> None:
    pinned, another = CredentialFactory.create_batch(2, owner=alice)
    if "credential_id" in body:
        body = {"credential_id": str(another.pk)}
    _, api = maker(
        alice,
        scopes=["credentials:write", "agents"],
        credential=pinned,
        expires_at=timezone.now() + timedelta(days=1),
    )
    response = post(api, **body)

    assert (response.status_code, response.json()["code"]) == (403, "beyond_maker")
    assert said in response.json()["detail"]
    assert AccessToken.objects.count() == 1


def test_revoking_a_token_revokes_all_that_came_of_it(alice: User) -> None:
    first, api = maker(alice)
    second = with_token(post(api).json()["token"])
    third = with_token(post(second).json()["token"])
    _, other = maker(alice)
    tokens.revoke_token(token=first)

    assert [a.get(URL).status_code for a in (api, second, third, other)] == [401, 401, 401, 200]
    assert AuditEvent.objects.filter(action=Action.TOKEN_REVOKE).count() == 3


def test_a_token_that_is_just_being_revoked_makes_no_other(alice: User) -> None:
    row, _ = maker(alice)
    stale = AccessToken.objects.get(pk=row.pk)
    tokens.revoke_token(token=row)

    with pytest.raises(BeyondMaker, match="revoked"):
        tokens.create_token(user=alice, name="late", made_by=stale)
    assert AccessToken.objects.count() == 1


def test_the_command_makes_a_token_with_the_scopes_named(
    alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_access_token", "--user", "alice", "--scopes", "agents, usage:read")

    token = capsys.readouterr().out.strip()
    row = AccessToken.objects.for_token(token)
    assert row is not None
    assert row.scopes == ["agents", "usage:read"]
    assert AuditEvent.objects.get().actor_name == "command line"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "alice", "--scopes", "root"], "Known|one or several of"),
        (["--user", "nobody"], "no user 'nobody'"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(
    alice: User, arguments: list[str], said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("create_access_token", *arguments)


def test_staff_revoke_tokens_in_the_admin(
    alice: User, admin_client: Any, api_as: Callable[[User], APIClient]
) -> None:
    api = api_as(alice)
    pk = AccessToken.objects.get().pk
    url = "/admin/credentials/accesstoken/"
    admin_client.post(url, {"action": "revoke", "_selected_action": [pk]})

    assert api.get(URL).status_code == 401
    assert AuditEvent.objects.get().actor_name == "admin"
