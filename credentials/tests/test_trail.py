from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from rest_framework.test import APIClient

from credentials import trail
from credentials.audit import CHAINED_FIELDS, AppendOnly, AuditEvent, AuditHead
from credentials.chain import verify
from credentials.middleware import AuditContextMiddleware
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory, UserFactory
from credentials.trail import Action, Actor, Outcome, record

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


@pytest.fixture
def credential(alice: User) -> LLMCredential:
    row: LLMCredential = CredentialFactory.create(owner=alice)
    return row


def request_of(user: Any, address: str = "203.0.113.7") -> HttpRequest:
    request = HttpRequest()
    request.user, request.META["REMOTE_ADDR"] = user, address
    return request


def test_an_event_says_what_was_done_to_what_and_never_the_key(credential: LLMCredential) -> None:
    key = credential.api_key.reveal("test")
    record(Action.ROTATE, credential, outcome=Outcome.FAILED, detail=f"refused: {key}")

    event = AuditEvent.objects.get()
    assert (event.action, event.outcome, event.object_type) == ("rotate", "failed", "credential")
    assert (event.object_id, event.owner_id) == (str(credential.pk), credential.owner_id)
    assert (event.provider, event.last4) == ("openai", credential.last4)
    assert event.detail == "refused: [redacted]"


def test_events_are_chained_from_an_empty_table_on(credential: LLMCredential) -> None:
    first, second = record(Action.CREATE, credential), record(Action.READ, credential)

    assert (first.position, first.previous, second.position) == (1, "0" * 64, 2)
    assert second.previous == first.digest
    assert AuditHead.objects.get().digest == second.digest
    assert [event.compute_digest() for event in AuditEvent.objects.all()] == [
        second.digest,
        first.digest,
    ]


def test_the_digest_covers_every_field(credential: LLMCredential) -> None:
    event = record(Action.CREATE, credential)
    fields = {field.attname for field in AuditEvent._meta.concrete_fields}

    assert set(CHAINED_FIELDS) == fields - {"digest"}
    for name in CHAINED_FIELDS:
        changed = AuditEvent.objects.get()
        value = "192.0.2.1" if name == "address" else "something else"
        setattr(changed, name, value)
        assert changed.compute_digest() != event.digest, name


def test_an_event_goes_with_the_change_that_rolls_back(credential: LLMCredential) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        record(Action.DELETE, credential)
        raise RuntimeError

    assert not AuditEvent.objects.exists()
    assert AuditHead.current().position == 0


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("unix:", None),
        ("", None),
    ],
)
def test_within_a_request_its_user_and_address_are_the_actor(
    alice: User, credential: LLMCredential, address: str, stored: str | None
) -> None:
    with trail.acting(request_of(alice, address)):
        record(Action.UPDATE, credential)

    event = AuditEvent.objects.get()
    assert (event.actor_id, event.actor_name) == (alice.pk, "alice")
    assert event.address == stored


def test_an_address_that_databases_spell_differently_keeps_the_chain_whole(
    alice: User, credential: LLMCredential
) -> None:
    with trail.acting(request_of(alice, "::102:304")):  # PostgreSQL: ::1.2.3.4
        record(Action.UPDATE, credential)

    assert verify().is_whole


def test_without_a_request_the_system_or_the_command_line_acts(credential: LLMCredential) -> None:
    with trail.acting(trail.COMMAND_LINE):
        record(Action.ROTATE, credential)
    record(Action.PURGE, credential)
    record(Action.LIFT, credential, actor=Actor.of_user(AnonymousUser(), address="192.0.2.1"))

    rows = AuditEvent.objects.order_by("position").values_list("actor_id", "actor_name", "address")
    assert list(rows) == [
        (None, "command line", None),
        (None, "system", None),
        (None, "anonymous", "192.0.2.1"),
    ]


def test_a_detail_becomes_one_short_printable_line(credential: LLMCredential) -> None:
    event = record(Action.UPDATE, credential, detail="a\0b\nc\ud800" + "x" * 300)

    event.refresh_from_db()
    assert event.detail.startswith("a b c x")
    assert len(event.detail) == 200


def test_the_api_leaves_events_with_the_name_of_the_token(api: APIClient, alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    api.delete(f"/api/v1/users/me/llm-credentials/{credential.pk}")

    event = AuditEvent.objects.get(action=Action.DELETE)
    token = AccessToken.objects.get()
    assert (event.actor_name, event.address) == ("alice", "127.0.0.1")
    assert event.detail == f"via token {token.prefix}"


async def test_under_asgi_the_context_is_the_requests_own() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(trail.current_actor().name)

    serve = AuditContextMiddleware(view)
    users = [User(pk=number, username=f"user{number}") for number in range(20)]
    answers = await asyncio.gather(*(serve(request_of(user)) for user in users))

    assert [answer.content.decode() for answer in answers] == [user.username for user in users]
    assert trail.current_actor() == trail.SYSTEM


@pytest.mark.django_db(transaction=True)
async def test_under_asgi_an_event_names_the_requests_user(async_client: AsyncClient) -> None:
    user = await sync_to_async(UserFactory.create)(username="carol")
    await async_client.aforce_login(user)
    body = {"name": "report", "scopes": ["agents"], "lifetime": "7"}
    await async_client.post("/keys/tokens/new/", body)

    event = await AuditEvent.objects.aget()
    assert (event.action, event.actor_name, event.address) == ("token_create", "carol", "127.0.0.1")


def test_the_model_refuses_every_change(credential: LLMCredential) -> None:
    event = record(Action.CREATE, credential)
    loaded = AuditEvent.objects.get()

    for change in (
        event.save,
        loaded.save,
        loaded.delete,
        AuditEvent.objects.all().delete,
        lambda: AuditEvent.objects.update(detail="x"),
        lambda: AuditEvent.objects.bulk_update([loaded], ["detail"]),
        lambda: AuditEvent.objects.bulk_create([loaded]),
    ):
        with pytest.raises(AppendOnly, match="append-only"):
            change()


def test_a_new_event_never_takes_the_place_of_another(credential: LLMCredential) -> None:
    record(Action.CREATE, credential)
    forged = AuditEvent.objects.get()
    forged._state.adding = True
    forged.detail = "forged"

    with pytest.raises(DatabaseError), transaction.atomic():
        forged.save()
    assert AuditEvent.objects.get().detail == ""


def test_the_database_refuses_changes_too(credential: LLMCredential) -> None:
    record(Action.CREATE, credential)
    statements = ["UPDATE credentials_auditevent SET detail = 'x'"]
    if connection.vendor == "postgresql":
        statements.append("DELETE FROM credentials_auditevent")

    for statement in statements:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            connection.cursor().execute(statement)


@pytest.mark.django_db(transaction=True)
def test_parallel_writers_leave_one_unbroken_chain(alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)

    def write(number: int) -> None:
        try:
            for _ in range(25):
                record(Action.READ, credential, detail=str(number))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))

    verdict = verify()
    assert (verdict.flaws, verdict.checked) == ([], 200)
