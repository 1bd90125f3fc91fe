"""Whose keys are measured, and that it is never somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from benchmarks.keys import (
    Keys,
    NoKey,
    gather,
    of_environment,
    of_simulator,
    of_user,
    with_keys,
)
from benchmarks.plan import Contender, Plan
from benchmarks.run import Source
from credentials.tests.factories import CredentialFactory

WANTED = [Contender(provider, "") for provider in ("openai", "google", "anthropic")]


def providers(keys: Keys) -> set[str]:
    return {contender.provider for contender in keys.selections}


@pytest.mark.django_db
def test_a_user_is_measured_on_own_keys_only(alice: User, bob: User, simulator: Any) -> None:
    own = CredentialFactory.create(owner=alice, provider="openai", model_name="gpt-4o")
    CredentialFactory.create(owner=bob, provider="google")
    CredentialFactory.create(owner=alice, provider="anthropic", is_active=False)

    keys = gather(Source.USER, of_user(alice), WANTED)

    assert list(keys.selections) == [Contender("openai", "gpt-4o")]
    (selection,) = keys.selections.values()
    assert selection.credential == own and selection.payer.paid_by == "user"
    assert keys.skipped["google"] == "alice has no usable key of their own"
    assert set(keys.skipped) == {"google", "anthropic"}


@pytest.mark.django_db
@pytest.mark.parametrize("policy", ["own_only", "own_then_system", "system_only"])
def test_no_policy_puts_the_systems_key_in_the_place_of_a_users(
    alice: User, settings: Any, policy: str
) -> None:
    settings.FALLBACK_POLICY = policy
    settings.SYSTEM_KEYS = {"openai": "sk-system-0123456789", "google": "", "anthropic": ""}

    keys = gather(Source.USER, of_user(alice), WANTED)

    assert not keys.selections and set(keys.skipped) == {one.provider for one in WANTED}


@pytest.mark.django_db
def test_a_simulator_key_without_a_simulator_is_skipped_with_the_reason(alice: User) -> None:
    CredentialFactory.create(owner=alice, provider="openai")

    keys = gather(Source.USER, of_user(alice), [Contender("openai", "")])

    assert "BYOM_SIMULATOR=on" in keys.skipped["openai"]


def test_the_environment_names_the_variable_that_is_missing(settings: Any) -> None:
    settings.FALLBACK_POLICY = "own_only"  # is about users, not about the operator
    settings.SYSTEM_KEYS = {"openai": "sk-0123456789", "google": "", "anthropic": ""}

    keys = gather(
        Source.ENVIRONMENT, of_environment, [*WANTED, Contender("openai_compatible", "m")]
    )

    assert providers(keys) == {"openai"} and not keys.simulated
    assert keys.skipped["google"] == "GOOGLE_API_KEY is not set"
    assert "--user" in keys.skipped["openai_compatible"]


def test_simulator_keys_go_to_the_simulator_that_was_started(settings: Any) -> None:
    settings.SIMULATOR_URL = "http://another"

    keys = gather(Source.SIMULATOR, of_simulator("http://mine"), WANTED)

    assert keys.simulated and providers(keys) == {one.provider for one in WANTED}
    assert all(str(s.base_url).startswith("http://mine/") for s in keys.selections.values())


@pytest.mark.django_db
def test_two_keys_of_one_provider_compete_where_they_are_named(
    alice: User, bob: User, simulator: Any
) -> None:
    home = CredentialFactory.create(owner=alice, provider="openai", label="home")
    work = CredentialFactory.create(owner=alice, provider="openai", label="work")
    CredentialFactory.create(owner=bob, provider="openai", label="bobs")

    wanted = with_keys(alice, ["home", str(work.pk)], WANTED)
    keys = gather(Source.USER, of_user(alice), wanted)

    assert [selection.credential for selection in keys.selections.values()] == [home, work]
    plan = Plan(contenders=tuple(keys.selections), seed=1)
    first, second = (plan.label(contender) for contender in plan.contenders)
    assert first != second and "home" in first and "work" in second
    with pytest.raises(NoKey, match="none of the keys is called 'bobs'"):
        with_keys(alice, ["bobs"], WANTED)


def test_several_models_of_one_provider_compete() -> None:
    keys = gather(
        Source.SIMULATOR,
        of_simulator("http://mine"),
        [Contender("openai", "gpt-4o"), Contender("openai", "gpt-5")],
    )

    assert list(keys.selections) == [Contender("openai", "gpt-4o"), Contender("openai", "gpt-5")]
