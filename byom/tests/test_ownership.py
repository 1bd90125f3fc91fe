"""Every address × verb × person, walked from the URLconf: a new route can't escape.

Alice owns, Bob is signed in, Charlie is a visitor, Sam is staff. Whatever names an object of
Alice's must answer Bob and Sam (outside the admin) as if it did not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from agents.models import AgentSession, Message, Role, ToolServer
from benchmarks.models import BenchmarkRun, BenchmarkSchedule
from credentials.audit import Action, AuditEvent
from credentials.models import AccessToken, LLMCredential, ModelAlias
from credentials.tests.factories import CredentialFactory, UserFactory
from credentials.trail import record
from usage.models import Budget, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
VERBS = ("get", "post", "put", "patch", "delete")
ELSEWHERE = ("admin/", "accounts/", "static/")  # Django's and allauth's own, tested by them
PUBLIC = {"home", "livez", "readyz", "favicon"}
LABEL = "label-that-only-alice-may-see"
PLAN = {
    "keys": "user", "contenders": [{"provider": "openai", "model": LABEL, "simulated": False}],
    "skipped": [], "prompts": [], "runs": 1, "warmup": 0, "seed": 1, "max_tokens": 1,
    "timeout_s": 1, "concurrency": 1, "max_cost_usd": None, "slo": None,
}  # fmt: skip
# What an address names, by how it begins. A new kind of object needs a line here.
OBJECTS = {
    "api/v1/users/me/llm-credentials": LLMCredential,
    "api/v1/users/me/access-tokens": AccessToken,
    "api/v1/users/me/model-aliases": ModelAlias,
    "api/v1/users/me/audit-events": AuditEvent,
    "api/v1/agent/sessions": AgentSession,
    "api/v1/agent/tool-servers": ToolServer,
    "api/v1/usage/records": UsageRecord,
    "usage/records": UsageRecord,
    "api/v1/benchmarks/runs": BenchmarkRun,
    "api/v1/benchmarks/schedules": BenchmarkSchedule,
    "benchmarks/schedules": BenchmarkSchedule,
    "benchmarks/": BenchmarkRun,
    "api/v1/usage/budgets": Budget,
    "usage/budgets": Budget,
    "keys/aliases": ModelAlias,
    "keys/tokens": AccessToken,
    "keys/": LLMCredential,
    "chat/tool-servers": ToolServer,
    "chat/": AgentSession,
}


def routes() -> Iterator[tuple[str, str]]:
    """(pattern, name) of every route of ours, as the URLconf has it."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, str]]:
        for entry in resolver.url_patterns:
            pattern = prefix + str(entry.pattern)
            if isinstance(entry, URLPattern):
                yield pattern, entry.name or ""
            else:
                yield from walk(entry, pattern)

    for pattern, name in walk(get_resolver(), ""):
        if not pattern.startswith(ELSEWHERE):
            yield pattern, name


PARAMETER = re.compile(r"<\w+:\w+>|<\w+>|\(\?P<\w+>(?:\[[^\]]*\]|[^()])+\)")


def names_an_object(pattern: str) -> bool:
    return bool(PARAMETER.search(pattern))


def address(pattern: str, pk: object = "") -> str:
    """A real address of the pattern."""
    path = PARAMETER.sub(str(pk), pattern)
    return "/" + re.sub(r"[\^$]|/\?|\\Z", "", path).replace("//", "/")


def object_of(pattern: str) -> Any:
    plain = pattern.replace("^", "")
    kind = next((model for start, model in OBJECTS.items() if plain.startswith(start)), None)
    assert kind is not None, f"{pattern} names an object that this test does not know: add it"
    return kind._default_manager.get()


WITH_OBJECT = [route for route, _ in routes() if names_an_object(route)]
WITHOUT_OBJECT = [(route, name) for route, name in routes() if not names_an_object(route)]


@pytest.fixture
def world(alice: User) -> User:
    """One object of each kind, all of them Alice's."""
    credential = CredentialFactory.create(owner=alice, label=LABEL)
    AccessToken.issue(user=alice, name=LABEL)
    ModelAlias.objects.create(owner=alice, name="alias", provider="openai", model_name=LABEL)
    record(Action.READ, credential, detail=LABEL)
    call = UsageRecord.objects.create(
        user=alice, credential=credential, surface="api", provider="openai", model=LABEL,
        usage_source="reported", latency_ms=1.0, status="ok", paid_by="user",
    )  # fmt: skip
    BenchmarkRun.objects.create(
        owner=alice, status="completed", is_simulated=False, schema_version=2,
        plan=PLAN,
        environment={}, summary=[], verdicts=[], started_at=timezone.now(),
    )  # fmt: skip
    BenchmarkSchedule.objects.create(
        owner=alice, name=LABEL, plan={"contenders": []}, next_at=timezone.now()
    )
    Budget.objects.create(name=LABEL, owner=alice, user=alice, limit_units=1, is_hard=False)
    session = AgentSession.objects.create(owner=alice, title=LABEL, credential=credential)
    Message.objects.create(session=session, position=1, role=Role.USER, text=LABEL, record=call)
    ToolServer.objects.create(owner=alice, name=LABEL[:24], url=f"https://{LABEL}.invalid/mcp")
    return alice


def whole(response: Any) -> str:
    """The body, also of a file that is streamed."""
    if not response.streaming:
        return str(response.content.decode())

    async def parts() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    return async_to_sync(parts)().decode()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, verb: str, path: str) -> Any:
    return getattr(client, verb)(path, data={}, content_type="application/json")


@pytest.mark.parametrize("route", WITH_OBJECT)
@pytest.mark.parametrize("person", ["bob", "staff"])
def test_what_is_alices_is_not_there_for_others(world: User, route: str, person: str) -> None:
    client = signed_in(UserFactory.create(username=person, is_staff=person == "staff"))
    before = snapshot()

    for verb in VERBS:
        response = ask(client, verb, address(route, object_of(route).pk))
        assert response.status_code in (404, 405), (verb, route, response.status_code)
        assert LABEL not in response.content.decode()
    assert snapshot() == before


@pytest.mark.parametrize("route", WITH_OBJECT)
def test_visitors_are_sent_to_sign_in(world: User, route: str) -> None:
    before = snapshot()
    for verb in VERBS:
        response = ask(Client(), verb, address(route, object_of(route).pk))
        assert response.status_code in (302, 401, 403, 405), (verb, route, response.status_code)
        assert LABEL not in response.content.decode()
    assert snapshot() == before


@pytest.mark.parametrize("route", WITH_OBJECT)
def test_the_owner_is_served(world: User, simulator: Any, route: str) -> None:
    """So that the 404s above mean ownership, and not a mistaken address."""
    pk = object_of(route).pk
    answers = [ask(signed_in(world), verb, address(route, pk)).status_code for verb in VERBS]

    assert any(status not in (404, 405) for status in answers), (route, answers)
    # 502 is the honest answer of who asks a tool server that is not there.
    assert all(status < 500 or status == 502 for status in answers), (route, answers)


@pytest.mark.parametrize(("route", "name"), WITHOUT_OBJECT)
def test_lists_show_nobody_elses_things(world: User, bob: User, route: str, name: str) -> None:
    response = signed_in(bob).get(address(route))

    assert response.status_code < 500
    assert LABEL not in whole(response)


@pytest.mark.parametrize(("route", "name"), WITHOUT_OBJECT)
def test_visitors_see_public_pages_only(world: User, route: str, name: str) -> None:
    path = address(route)
    response = Client().get(path)

    if response.status_code == 200:
        assert name in PUBLIC, f"{path} answers visitors: is that meant?"
    assert LABEL not in response.content.decode()


def snapshot() -> list[Any]:
    """Everything that the walk must not change."""
    return [
        list(LLMCredential.objects.values("pk", "label", "is_active", "is_default")),
        list(AccessToken.objects.values("pk", "name", "revoked_at")),
        list(ModelAlias.objects.values("pk", "name", "model_name")),
        list(AgentSession.objects.values("pk", "title", "status")),
        Message.objects.count(),
        list(ToolServer.objects.values("pk", "url", "last4", "is_active")),
        list(Budget.objects.values("pk", "name", "limit_units", "is_active")),
    ]
