from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from agents.clients import (
    ModelMismatch,
    ModelNeeded,
    NobodyPays,
    NothingSelected,
    OwnKeyForbidden,
    select,
)
from agents.models import SelectionPolicy
from credentials.audit import AuditEvent
from credentials.errors import (
    CredentialExpired,
    CredentialInactive,
    CredentialNotFound,
    CredentialQuarantined,
    SimulatorOff,
)
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
REAL = {"openai": "sk-real-openai-key-1", "google": "", "anthropic": "sk-ant-real-key-1"}


def test_the_named_credential_comes_first(alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    named = CredentialFactory.create(owner=alice)
    pinned = CredentialFactory.create(owner=alice)

    chosen = select(user=alice, credential_id=named.pk, pinned_id=pinned.pk)
    assert chosen.credential == named
    assert chosen.payer.paid_by == "user"


def test_then_the_pinned_one(alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    pinned = CredentialFactory.create(owner=alice)

    assert select(user=alice, pinned_id=pinned.pk).credential == pinned


def test_then_the_default(alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice)
    default = CredentialFactory.create(owner=alice, is_default=True)

    assert select(user=alice).credential == default


def test_a_model_chooses_the_provider_before_the_default_does(alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    claude = CredentialFactory.create(owner=alice, provider="anthropic")

    chosen = select(user=alice, model="claude-haiku-4-5")
    assert (chosen.credential, chosen.model) == (claude, "claude-haiku-4-5")


def test_then_the_system_default(alice: User, settings: Any) -> None:
    settings.SYSTEM_KEYS = REAL

    chosen = select(user=alice, provider="anthropic")
    assert chosen.credential is None
    assert (chosen.provider, chosen.payer.paid_by) == ("anthropic", "system")
    assert "sk-ant-real" not in repr(chosen)


def test_own_only_never_falls_back(alice: User, settings: Any) -> None:
    settings.SYSTEM_KEYS, settings.FALLBACK_POLICY = REAL, "own_only"

    with pytest.raises(NothingSelected, match="Add your own"):
        select(user=alice)


def test_system_only_passes_over_own_keys(alice: User, settings: Any) -> None:
    settings.SYSTEM_KEYS, settings.FALLBACK_POLICY = REAL, "system_only"
    CredentialFactory.create(owner=alice, is_default=True)

    assert select(user=alice).payer.paid_by == "system"


@pytest.mark.parametrize(
    ("server", "own", "session", "paid_by"),
    [
        ("own_then_system", "", "", "user"),
        ("own_then_system", "system_only", "", "system"),
        ("own_then_system", "", "system_only", "system"),
        ("own_then_system", "own_then_system", "own_only", "user"),
        ("own_only", "own_then_system", "own_then_system", "user"),
        ("system_only", "own_then_system", "", "system"),
    ],
)
def test_the_strictest_policy_decides_who_pays(
    alice: User, settings: Any, server: str, own: str, session: str, paid_by: str
) -> None:
    settings.SYSTEM_KEYS, settings.FALLBACK_POLICY = REAL, server
    CredentialFactory.create(owner=alice, key="sk-real-openai-key-1", is_default=True)
    SelectionPolicy.objects.create(user=alice, policy=own)

    assert select(user=alice, policy=session).payer.paid_by == paid_by


def test_policies_that_exclude_each_other_leave_nobody_to_pay(alice: User, settings: Any) -> None:
    settings.SYSTEM_KEYS = REAL
    SelectionPolicy.objects.create(user=alice, policy="own_only")

    with pytest.raises(NobodyPays, match="policy"):
        select(user=alice, policy="system_only")


def test_staff_can_forbid_the_systems_key_to_one_user(
    alice: User, bob: User, settings: Any
) -> None:
    settings.SYSTEM_KEYS = REAL
    SelectionPolicy.objects.create(user=alice, system_key_forbidden=True)

    with pytest.raises(NothingSelected):
        select(user=alice)
    assert select(user=bob).payer.paid_by == "system"


def test_a_named_credential_is_refused_where_only_the_system_may_pay(
    alice: User, settings: Any
) -> None:
    settings.SYSTEM_KEYS, settings.FALLBACK_POLICY = REAL, "system_only"
    row = CredentialFactory.create(owner=alice, key="sk-real-openai-key-1")

    with pytest.raises(OwnKeyForbidden):
        select(user=alice, credential_id=row.pk)


def test_without_any_key_the_simulator_is_the_system_default(alice: User, simulator: Any) -> None:
    chosen = select(user=alice)

    assert (chosen.payer.paid_by, chosen.payer.is_simulated) == ("system", True)
    assert chosen.base_url == f"{simulator.url}/openai/v1"


def test_with_a_system_key_the_simulator_never_stands_in(
    alice: User, simulator: Any, settings: Any
) -> None:
    settings.SYSTEM_KEYS = REAL

    with pytest.raises(NothingSelected, match="Google"):
        select(user=alice, provider="google")


def test_a_foreign_credential_is_not_found(alice: User, bob: User, simulator: Any) -> None:
    foreign = CredentialFactory.create(owner=bob)

    for wrong in (foreign.pk, uuid.uuid4(), "not-a-uuid"):
        with pytest.raises(CredentialNotFound):
            select(user=alice, credential_id=wrong)
    event = AuditEvent.objects.get()
    assert (event.action, event.outcome, event.owner_id) == ("use_refused", "refused", bob.pk)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"is_active": False}, CredentialInactive),
        ({"expires_at": timezone.now() - timedelta(days=1)}, CredentialExpired),
        ({"quarantined_at": timezone.now()}, CredentialQuarantined),
    ],
)
def test_an_unusable_credential_is_refused_and_no_other_takes_its_place(
    alice: User, simulator: Any, change: dict[str, Any], error: type[Exception]
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    row = CredentialFactory.create(owner=alice)
    LLMCredential.objects.filter(pk=row.pk).update(**change)

    with pytest.raises(error):
        select(user=alice, credential_id=row.pk)
    assert AuditEvent.objects.get().action == "use_refused"


def test_an_expired_default_is_passed_over(alice: User, simulator: Any) -> None:
    past = timezone.now() - timedelta(days=1)
    CredentialFactory.create(owner=alice, is_default=True, expires_at=past)

    assert select(user=alice).payer.paid_by == "system"


def test_a_model_of_another_provider_is_refused(alice: User, simulator: Any) -> None:
    row = CredentialFactory.create(owner=alice)

    with pytest.raises(ModelMismatch, match="Anthropic"):
        select(user=alice, credential_id=row.pk, model="claude-haiku-4-5")


def test_a_compatible_server_may_serve_any_model_but_needs_one(alice: User, simulator: Any) -> None:
    row = CredentialFactory.create(owner=alice, provider="openai_compatible")

    assert select(user=alice, credential_id=row.pk, model="claude-clone").model == "claude-clone"
    with pytest.raises(ModelNeeded):
        select(user=alice, credential_id=row.pk)


def test_a_simulator_key_never_leaves_for_a_real_provider(alice: User, settings: Any) -> None:
    settings.SIMULATOR_URL = ""
    CredentialFactory.create(owner=alice, is_default=True)

    with pytest.raises(SimulatorOff):
        select(user=alice)


def test_a_real_key_never_goes_to_the_simulator(alice: User, simulator: Any) -> None:
    row = CredentialFactory.create(owner=alice, key="sk-real-openai-key-1", is_default=True)

    chosen = select(user=alice)
    assert (chosen.credential, chosen.base_url) == (row, None)
