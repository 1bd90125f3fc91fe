"""The production suite of the report this product grew from: whole agent runs on every provider.

Each test runs against the simulator, always, and against the real provider too where its key is
in the environment (OPENAI_API_KEY, GOOGLE_API_KEY, ANTHROPIC_API_KEY; marker requires_api). Real
calls cost a fraction of a cent. `byom.testing` blanks the system keys, so that nothing else can
make them: here they are read from the environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import statistics
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from agents.models import AgentSession, Message
from agents.services import create_session
from agents.turns import begin_turn, whole_turn
from credentials.errors import CredentialError, CredentialNotFound
from credentials.models import LLMCredential
from credentials.services import delete_credential
from credentials.tests.factories import SIMULATOR_KEYS, CredentialFactory
from providers import registry
from providers.registry import UnknownProvider
from usage.models import Surface, UsageRecord

pytestmark = [pytest.mark.django_db, pytest.mark.integration]

SESSIONS = "/api/v1/agent/sessions"
QUESTION = "What is the capital of France? Answer in one word."
PROVIDERS = ("openai", "google", "anthropic")
REAL_KEYS = {name: os.environ.get(f"{name.upper()}_API_KEY", "") for name in PROVIDERS}
WRONG_KEYS = {
    "simulator": {name: key.replace("ok", "401") for name, key in SIMULATOR_KEYS.items()},
    "real": {
        "openai": "sk-proj-" + "0" * 40,
        "google": "AIza" + "0" * 35,
        "anthropic": "sk-ant-api03-" + "0" * 80,
    },
}
SLOWEST_ANSWER = {"simulator": 5_000.0, "real": 60_000.0}  # ms; the simulator takes some 30


@dataclass(frozen=True, slots=True)
class World:
    """Where the calls of a test go, and the keys that are good and bad there."""

    name: str
    keys: dict[str, str]

    @property
    def simulated(self) -> bool:
        return self.name == "simulator"

    def key(self, provider: str) -> str:
        """A good key, or the test is skipped."""
        if not self.keys.get(provider):
            pytest.skip(f"{provider.upper()}_API_KEY is not in the environment")
        return self.keys[provider]

    def wrong_key(self, provider: str) -> str:
        self.key(provider)  # where the real provider is not to be called, this one is not either
        return WRONG_KEYS[self.name][provider]

    def providers(self) -> list[str]:
        """Those that can be called, or the test is skipped."""
        found = [name for name in PROVIDERS if self.keys.get(name)]
        if not found:
            pytest.skip("no provider's key is in the environment")
        return found


@pytest.fixture(params=["simulator", pytest.param("real", marks=pytest.mark.requires_api)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "real":
        return World("real", REAL_KEYS)
    request.getfixturevalue("simulator")
    return World("simulator", SIMULATOR_KEYS)


def ask(api: APIClient, **session: Any) -> Any:
    """Starts a session and asks the question; the response to it."""
    started = api.post(SESSIONS, session, format="json")
    assert started.status_code == 201, started.content
    address = f"{SESSIONS}/{started.json()['id']}/messages"
    return api.post(address, {"content": QUESTION}, format="json")


def run_agent(api: APIClient, alice: User, world: World, provider: str) -> UsageRecord:
    """One whole run on Alice's own key, checked from the answer to the books."""
    key = CredentialFactory.create(owner=alice, provider=provider, key=world.key(provider))
    answer = ask(api, credential_id=str(key.pk), instructions="You know geography.")

    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert "paris" in body["message"]["content"].lower()
    assert (body["receipt"]["paid_by"], body["receipt"]["provider"]) == ("user", provider)
    assert body["receipt"]["simulated"] is world.simulated
    assert world.key(provider) not in answer.content.decode()
    record = UsageRecord.objects.get(pk=body["receipt"]["call_id"])
    assert (record.status, record.credential_id) == ("ok", key.pk)
    assert {row.status for row in AgentSession.objects.all()} == {"completed"}
    return record


class TestBYOMProductionWorkflows:
    def test_01_openai_end_to_end(self, api: APIClient, alice: User, world: World) -> None:
        run_agent(api, alice, world, "openai")

    def test_02_google_gemini_end_to_end(self, api: APIClient, alice: User, world: World) -> None:
        run_agent(api, alice, world, "google")

    def test_03_anthropic_claude_end_to_end(
        self, api: APIClient, alice: User, world: World
    ) -> None:
        run_agent(api, alice, world, "anthropic")

    def test_04_without_an_own_key_the_system_default_answers(
        self, api: APIClient, world: World, settings: Any
    ) -> None:
        provider = world.providers()[0]
        if not world.simulated:
            settings.SYSTEM_KEYS = {**settings.SYSTEM_KEYS, provider: world.key(provider)}
        receipt = ask(api, provider=provider).json()["receipt"]

        assert (receipt["paid_by"], receipt["simulated"]) == ("system", world.simulated)

    @pytest.mark.parametrize("named", ["00000000-0000-4000-8000-000000000000", "not-a-uuid"])
    def test_05_an_invalid_credential_id_is_a_value_error(
        self, alice: User, api: APIClient, named: str
    ) -> None:
        with pytest.raises(ValueError) as raised:
            create_session(owner=alice, credential_id=named)
        assert isinstance(raised.value, CredentialNotFound)
        assert api.post(SESSIONS, {"credential_id": named}, format="json").status_code == 404
        assert not AgentSession.objects.exists()


@pytest.mark.slow
class TestBYOMPerformanceComparison:
    def test_06_response_times_are_comparable(
        self, api: APIClient, alice: User, world: World
    ) -> None:
        for provider in world.providers():
            records = [run_agent(api, alice, world, provider) for _ in range(3)]
            assert all(0 < record.ttft_ms <= record.latency_ms for record in records)  # type: ignore[operator]
            median = statistics.median(record.latency_ms for record in records)
            assert median < SLOWEST_ANSWER[world.name], (provider, median)

    def test_07_token_usage_is_reported_by_every_provider(
        self, api: APIClient, alice: User, world: World
    ) -> None:
        for provider in world.providers():
            record = run_agent(api, alice, world, provider)
            assert record.usage_source == "reported"
            assert record.input_tokens > 5 and record.output_tokens > 0

    def test_08_costs_are_prices_times_tokens(
        self, api: APIClient, alice: User, world: World
    ) -> None:
        for provider in world.providers():
            record = run_agent(api, alice, world, provider)
            assert record.cost_usd is not None and record.price_source
            prices = {name: Decimal(price) for name, price in record.unit_prices.items()}
            least = record.input_tokens - record.cache_read_tokens - record.cache_write_tokens
            cost = least * prices["input_mtok"] + record.output_tokens * prices["output_mtok"]
            cost += record.cache_read_tokens * prices.get("cache_read_mtok", Decimal(0))
            cost += record.cache_write_tokens * prices.get("cache_write_mtok", Decimal(0))
            assert record.cost_usd == pytest.approx(cost / 1_000_000, abs=Decimal("2e-9"))


def refused_key(owner: User, **fields: Any) -> str:
    """The id of a key that calls may not use, by the given fields of its row."""
    key = CredentialFactory.create(owner=owner)
    LLMCredential.objects.filter(pk=key.pk).update(**fields)
    return str(key.pk)


class TestBYOMErrorHandling:
    @pytest.mark.parametrize("provider", PROVIDERS)
    def test_09_an_invalid_api_key_fails_at_the_call_and_not_before(
        self, api: APIClient, alice: User, world: World, provider: str
    ) -> None:
        wrong = world.wrong_key(provider)
        key = CredentialFactory.create(owner=alice, provider=provider, key=wrong)
        answer = ask(api, credential_id=str(key.pk))

        assert (answer.status_code, answer.json()["code"]) == (401, "authentication_failed")
        assert wrong not in answer.content.decode()
        assert UsageRecord.objects.get().error_code == "authentication_failed"

    def test_10_an_inactive_credential_is_a_value_error(self, alice: User) -> None:
        named = refused_key(alice, is_active=False)
        with pytest.raises(ValueError) as raised:
            create_session(owner=alice, credential_id=named)
        assert isinstance(raised.value, CredentialError)
        assert not AgentSession.objects.exists()

    def test_11_the_credential_of_another_user_does_not_exist(
        self, alice: User, bob: User, api: APIClient
    ) -> None:
        named = str(CredentialFactory.create(owner=bob).pk)
        with pytest.raises(ValueError) as raised:
            create_session(owner=alice, credential_id=named)
        assert isinstance(raised.value, CredentialNotFound)
        foreign = api.post(SESSIONS, {"credential_id": named}, format="json")
        absent = {"credential_id": "00000000-0000-4000-8000-000000000000"}
        assert foreign.json() == api.post(SESSIONS, absent, format="json").json()

    def test_12_an_unsupported_provider_is_a_value_error(self, alice: User, api: APIClient) -> None:
        with pytest.raises(ValueError) as raised:
            create_session(owner=alice, provider="acme")
        assert isinstance(raised.value, UnknownProvider)
        refused = api.post(SESSIONS, {"provider": "acme"}, format="json")
        assert refused.status_code == 400
        assert "Supported: openai, anthropic, google" in refused.json()["detail"]

    @pytest.mark.parametrize(
        "state",
        [
            {"expires_at": timezone.now() - timedelta(days=1)},
            {"quarantined_at": timezone.now(), "quarantine_reason": "Refused three times."},
        ],
        ids=["expired", "quarantined"],
    )
    def test_13_a_key_that_may_not_be_used_is_never_replaced_by_another(
        self, api: APIClient, alice: User, simulator: Any, state: dict[str, Any]
    ) -> None:
        CredentialFactory.create(owner=alice, is_default=True)
        named = refused_key(alice, **state)
        refused = api.post(SESSIONS, {"credential_id": named}, format="json")

        assert 400 <= refused.status_code < 500 and refused.json()["detail"]
        assert not AgentSession.objects.exists() and not simulator.app.log

    def test_14_a_session_ends_when_its_key_is_deleted(
        self, api: APIClient, alice: User, simulator: Any
    ) -> None:
        key = CredentialFactory.create(owner=alice)
        session = create_session(owner=alice, credential_id=key.pk)
        delete_credential(credential=key)
        answer = api.post(f"{SESSIONS}/{session.pk}/messages", {"content": "Hello"}, format="json")

        assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")
        assert not Message.objects.exists() and not simulator.app.log

    @pytest.mark.django_db(transaction=True)
    async def test_15_parallel_turns_of_two_users_never_mix_their_keys(
        self, alice: User, bob: User, simulator: Any
    ) -> None:
        sessions = await sync_to_async(sessions_of)([alice, bob], count=64)
        await asyncio.gather(*(one_turn(session) for session in sessions))

        asked = {session.model: sha256(key_of(session)) for session in sessions}
        assert {entry.model: entry.key_sha256 for entry in simulator.app.log} == asked
        assert (len(asked), len(set(asked.values()))) == (64, 6)
        rows = [row async for row in UsageRecord.objects.select_related("credential")]
        assert len(rows) == 64 and {row.status for row in rows} == {"ok"}
        assert all(row.credential and row.credential.owner_id == row.user_id for row in rows)


def sessions_of(people: list[User], *, count: int) -> list[AgentSession]:
    """Sessions on keys of their own, taken in turn: one key per person and provider. Each has a
    model of its own, by which the simulator's log tells them apart."""
    keys = [
        CredentialFactory.create(
            owner=person, provider=provider, key=f"{SIMULATOR_KEYS[provider]}-{person.username}"
        )
        for person in people
        for provider in PROVIDERS
    ]
    turns = itertools.islice(itertools.cycle(keys), count)
    return [
        create_session(owner=key.owner, credential_id=key.pk, model=f"{model_of(key)}-{number}")
        for number, key in enumerate(turns)
    ]


def model_of(key: LLMCredential) -> str:
    return registry.get(key.provider).default_model


async def one_turn(session: AgentSession) -> None:
    turn = await sync_to_async(begin_turn)(session=session, text=QUESTION, surface=Surface.API)
    await whole_turn(turn)


def key_of(session: AgentSession) -> str:
    assert session.credential is not None
    return session.credential.api_key.reveal("test")


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
