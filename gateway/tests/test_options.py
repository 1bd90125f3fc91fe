"""What clients ask of the gateway by its own headers: whose key, and what if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.breaker import FAILURES
from benchmarks.simulator.server import SimulatorThread
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import Place
from gateway.tests.test_gateway import BODY, Pin, post
from usage.group_commit import group_commit
from usage.models import Budget, UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
FAILING = {"openai": "sk-sim-500-1234567890", "anthropic": "sk-ant-sim-529-1234567890"}


def ask(at: Place, body: Any = BODY, **options: Any) -> Any:
    headers = {f"x-byom-{name}": str(value) for name, value in options.items()}
    return post(at, body=body, headers=headers)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def tries() -> list[tuple[str, str, bool]]:
    """(provider, status, whether it is the call's own row), as they ended."""
    rows = UsageRecord.objects.order_by("created_at")
    return [(row.provider, row.status, row.attempt_of is None) for row in rows]


@pytest.mark.parametrize("by", ["pk", "label"])
def test_a_credential_that_is_named_pays(
    simulator: SimulatorThread, place: Place, alice: User, by: str
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    work = CredentialFactory.create(owner=alice, label="work")

    answer = ask(place, credential=getattr(work, by))
    assert answer.headers["x-byom-credential"] == str(work.pk)


def test_a_credential_that_can_not_be_meant_is_refused(
    simulator: SimulatorThread, place: Place, pinned: Pin, alice: User, bob: User
) -> None:
    foreign = CredentialFactory.create(owner=bob, label="bobs")
    CredentialFactory.create(owner=alice, label="same")
    claude = CredentialFactory.create(owner=alice, label="same", provider="anthropic")

    for name in (foreign.pk, "bobs", "nothing"):
        assert code(ask(place, credential=name)) == (404, "not_found")
    assert code(ask(place, credential="same")) == (400, "several_credentials")
    assert code(ask(place, credential=claude.pk)) == (400, "model_mismatch")
    assert code(ask(pinned(), credential=claude.pk)) == (403, "pinned_elsewhere")
    assert not simulator.app.log and not UsageRecord.objects.exists()


@pytest.mark.parametrize(
    "option", [("fallback", "two words"), ("fallback", "a,b,c,d,e,f"), ("retries", "4"),
               ("retries", "-1"), ("cache", "yes")],
)  # fmt: skip
def test_an_option_that_can_not_be_understood_is_refused(
    place: Place, option: tuple[str, str]
) -> None:
    assert code(ask(place, **dict([option]))) == (400, "bad_option")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_the_chain_takes_over_with_a_row_for_each_try_and_one_receipt(
    simulator: SimulatorThread, place: Place, alice: User, streamed: bool, settings: Any
) -> None:
    settings.FALLBACK_POLICY = "own_only"  # without a key for Claude, that entry is passed over
    CredentialFactory.create(owner=alice, key=FAILING["openai"])
    CredentialFactory.create(owner=alice, provider="google")
    answer = ask(place, {**BODY, "stream": streamed}, fallback="claude-haiku-4-5, gemini-2.5-flash")

    assert answer.status_code == 200 and "Paris" in answer.text
    assert tries() == [("openai", "error", False), ("google", "ok", True)]
    failed, last = UsageRecord.objects.order_by("created_at")
    assert failed.attempt_of == last.pk and last.retries == 1
    assert answer.headers["x-byom-call-id"] == str(last.pk)


def test_another_model_of_the_same_dialect_takes_over_byte_for_byte(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, key="sk-sim-flaky-1-1234567890")
    answer = ask(place, {**BODY, "unknown_field": None}, fallback="gpt-4o")

    assert answer.headers["x-byom-model"].startswith("gpt-4o-2")
    assert [entry.model for entry in simulator.app.log][-1:] == ["gpt-4o"]
    assert tries() == [("openai", "error", False), ("openai", "ok", True)]


def test_a_translated_call_has_its_chain_too(
    simulator: SimulatorThread, place: Place, alice: User, no_retry_waits: None
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic", key=FAILING["anthropic"])
    CredentialFactory.create(owner=alice)
    answer = ask(place, {**BODY, "model": "claude-haiku-4-5"}, fallback="gpt-4o-mini")

    assert answer.headers["x-byom-provider"] == "openai"
    assert tries()[-1] == ("openai", "ok", True)


def test_a_call_is_tried_again_as_often_as_it_says(
    simulator: SimulatorThread, place: Place, alice: User, no_retry_waits: None
) -> None:
    CredentialFactory.create(owner=alice, key="sk-sim-flaky-2-1234567890")

    assert ask(place, retries=1).status_code >= 500
    UsageRecord.objects.all()._raw_delete("default")
    simulator.app.log.clear()
    CredentialFactory.create(owner=alice, is_default=True, key="sk-sim-flaky-2-0987654321")
    assert ask(place, retries=2).status_code == 200
    assert [own for _, _, own in tries()] == [False, False, True]


@pytest.mark.parametrize("fault", ["401", "context"])
def test_what_will_not_pass_is_not_tried_again(
    simulator: SimulatorThread, place: Place, alice: User, fault: str
) -> None:
    CredentialFactory.create(owner=alice, key=f"sk-sim-{fault}-1234567890")
    CredentialFactory.create(owner=alice, provider="google")

    assert ask(place, fallback="gemini-2.5-flash", retries=2).status_code in (400, 401)
    assert tries() == [("openai", "error", True)]


def test_never_after_the_first_byte(simulator: SimulatorThread, place: Place, alice: User) -> None:
    CredentialFactory.create(owner=alice, key="sk-sim-drop-1234567890")
    CredentialFactory.create(owner=alice, provider="google")
    body = {**BODY, "stream": True, "messages": [{"role": "user", "content": "Tell a long story."}]}

    assert '"error"' in ask(place, body, fallback="gemini-2.5-flash").text
    assert tries() == [("openai", "error", True)]


def test_when_all_have_failed_the_last_one_says_why(
    simulator: SimulatorThread, place: Place, alice: User, no_retry_waits: None
) -> None:
    for provider, key in FAILING.items():
        CredentialFactory.create(owner=alice, provider=provider, key=key)
    answer = ask(place, fallback="claude-haiku-4-5")

    assert answer.status_code >= 500 and "Anthropic" in answer.json()["error"]["message"]
    assert tries()[-1] == ("anthropic", "error", True)
    assert [own for *_, own in tries()].count(True) == 1


def test_a_key_that_keeps_failing_is_passed_over_without_a_call(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, key=FAILING["openai"])
    CredentialFactory.create(owner=alice, provider="google")
    for _ in range(FAILURES):
        ask(place, fallback="gemini-2.5-flash")
    simulator.app.log.clear()

    assert ask(place, fallback="gemini-2.5-flash").headers["x-byom-provider"] == "google"
    assert [entry.dialect for entry in simulator.app.log] == ["google"]
    alone = ask(place, retries=1)
    assert (alone.status_code, alone.json()["error"]["code"]) == (503, "suspended")
    assert ask(place).status_code == 500  # who asks for one try gets the provider's own word


def test_a_budget_has_nothing_set_aside_when_all_is_over(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, key=FAILING["openai"])
    CredentialFactory.create(owner=alice, provider="google")
    budget = Budget.objects.create(name="Lunch", user=alice, limit_units=10**9)

    assert ask(place, fallback="gpt-4o, gemini-2.5-flash").status_code == 200
    group_commit().close()  # what was held for calls to come goes back
    budget.refresh_from_db()
    assert budget.reserved_units == 0 and budget.spent_units > 0
