"""Runs that task workers carry out, and runs whose process has died."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from benchmarks import background, store, tasks
from benchmarks.models import BenchmarkRun, BenchmarkShard, RunStatus
from benchmarks.plan import Contender, Plan
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from benchmarks.starting import (
    BudgetGone,
    LimitTooLow,
    NothingToMeasure,
    OtherKey,
    PriceNeeded,
    TooLarge,
    create,
    prepared,
    start,
)
from benchmarks.tests.samples import sample
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory
from usage.models import Budget, UsageRecord

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(minutes=5)


@pytest.fixture
def key(alice: User, simulator: Any) -> LLMCredential:
    return CredentialFactory.create(owner=alice)


def plan_of(key: LLMCredential | None, **changes: Any) -> Plan:
    credential = str(key.pk) if key else ""
    plan = Plan(
        contenders=(Contender("openai", "gpt-4o-mini", credential),),
        seed=0,
        prompts=PROMPTS[:1],
        runs=2,
        warmup=1,
        max_tokens=64,
        max_cost=Decimal("0.05"),
    )
    return replace(plan, **changes)


def start_for(user: User, key: LLMCredential | None, **changes: Any) -> BenchmarkRun:
    return start(plan=plan_of(key, **changes), source=Source.USER, user=user)


def forget(run: BenchmarkRun) -> None:
    """Its process has been silent for long."""
    BenchmarkShard.objects.filter(run=run).update(heartbeat_at=timezone.now() - LONG_AGO)
    BenchmarkRun.objects.filter(pk=run.pk).update(enqueued_at=timezone.now() - LONG_AGO)


@pytest.mark.django_db(transaction=True)
def test_a_started_run_is_carried_out_by_a_task(alice: User, key: LLMCredential) -> None:
    run = start_for(alice, key)

    run.refresh_from_db()
    assert (run.status, run.done, run.total, run.owner) == ("completed", 3, 3, alice)
    assert run.summary and run.is_simulated and run.in_background
    records = UsageRecord.objects.filter(pk__in=run.samples.values("record_id"))
    assert {(one.user, one.credential) for one in records} == {(alice, key)}


@pytest.mark.django_db(transaction=True)
def test_what_a_token_started_counts_as_its_calls(alice: User, key: LLMCredential) -> None:
    token, _ = AccessToken.issue(user=alice, name="ci")
    start(plan=plan_of(key), source=Source.USER, user=alice, token=token)

    assert {one.access_token for one in UsageRecord.objects.all()} == {token}


@pytest.mark.django_db(transaction=True)
def test_a_run_is_not_carried_out_for_a_revoked_token(alice: User, key: LLMCredential) -> None:
    token, _ = AccessToken.issue(user=alice, name="ci")
    run = create(plan=plan_of(key), source=Source.USER, user=alice, token=token)
    AccessToken.objects.update(revoked_at=timezone.now())
    background.enqueue(run.pk)

    run.refresh_from_db()
    assert (run.status, run.done) == ("cancelled", 0)


@pytest.mark.django_db(transaction=True)
def test_without_a_key_the_simulator_can_be_measured(alice: User) -> None:
    contenders = (Contender("openai", ""), Contender("google", ""))
    run = start(
        plan=plan_of(None, contenders=contenders, runs=1), source=Source.SIMULATOR, user=alice
    )

    run.refresh_from_db()
    assert (run.status, run.done, run.is_simulated) == ("completed", 4, True)


def test_two_runs_never_measure_each_other(
    alice: User, key: LLMCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(plan=plan_of(key), source=Source.USER, user=alice)
    with tasks._one_at_a_time:
        background.enqueue(run.pk)
    handed_out: list[Any] = []
    monkeypatch.setattr(tasks, "execute", handed_out.append)

    run.refresh_from_db()
    assert run.status == "pending" and run.enqueued_at is None
    assert background.look_after() == 1 and handed_out == [run.pk]


def test_a_run_whose_worker_has_died_is_handed_out_again_once(
    alice: User, key: LLMCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(plan=plan_of(key), source=Source.USER, user=alice)
    store.take(run.pk)
    handed_out: list[Any] = []
    monkeypatch.setattr(tasks, "execute", handed_out.append)

    assert background.look_after() == 0
    forget(run)
    assert (background.look_after(), background.look_after()) == (1, 0)
    assert handed_out == [run.pk]


def die(run: BenchmarkRun) -> store.Claim:
    """A worker takes it, and is killed."""
    claim = store.take(run.pk)
    assert claim is not None
    forget(run)
    return claim


def test_a_run_that_kills_every_worker_is_given_up(
    alice: User, key: LLMCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(plan=plan_of(key, levels=(2,), shards=2), source=Source.USER, user=alice)
    for _ in range(3):
        die(run)
    monkeypatch.setattr(tasks, "execute", lambda run_id: store.take(run_id))

    background.look_after()

    run.refresh_from_db()
    assert run.status == RunStatus.FAILED and "died 3 times in a row" in run.error
    assert not run.shards.open().exists() and background.look_after() == 0
    assert store.take(store.reopen(run.pk).pk) is not None


def test_a_call_that_was_written_down_is_a_reason_to_try_again(
    alice: User, key: LLMCredential
) -> None:
    run = create(plan=plan_of(key), source=Source.USER, user=alice)
    for order in range(2):
        for _ in range(2):
            die(run)
        claim = store.take(run.pk)
        assert claim is not None
        taken = sample(plan_of(key).contenders[0])
        store.write(claim, [(replace(taken, step=replace(taken.step, order=order)), 0, 0)])
        forget(run)

    assert store.take(run.pk) is not None


def test_a_run_of_a_command_line_that_has_died_is_ended(alice: User, key: LLMCredential) -> None:
    run = store.create(plan=plan_of(key), source=Source.USER, owner_id=alice.pk)
    store.take(run.pk)
    assert background.look_after() == 0
    forget(run)

    assert (background.look_after(), background.look_after()) == (1, 0)
    run.refresh_from_db()
    assert run.status == RunStatus.INTERRUPTED and "go on with it" in run.error


@pytest.mark.django_db(transaction=True)
def test_one_can_go_on_with_a_run_that_was_interrupted(alice: User, key: LLMCredential) -> None:
    run = store.create(plan=plan_of(key), source=Source.USER, owner_id=alice.pk)
    store.take(run.pk)
    forget(run)
    background.look_after()

    background.go_on(store.reopen(run.pk).pk)

    run.refresh_from_db()
    assert (run.status, run.done) == ("completed", 3)


def test_only_what_can_be_carried_out_is_started(alice: User, key: LLMCredential) -> None:
    cheap = Contender("openai", "nobody-knows-this", str(key.pk))
    for error, plan in (
        (PriceNeeded, plan_of(key, contenders=(cheap,))),
        (LimitTooLow, plan_of(key, max_cost=Decimal("0.000001"))),
        (TooLarge, plan_of(key, runs=10_000, prompts=PROMPTS)),
        (NothingToMeasure, plan_of(None, contenders=(Contender("anthropic", ""),))),
    ):
        with pytest.raises(error):
            start(plan=plan, source=Source.USER, user=alice)
    assert not BenchmarkRun.objects.exists()


def test_nobody_measures_with_the_key_of_another(bob: User, key: LLMCredential) -> None:
    with pytest.raises(NothingToMeasure, match="no such credential among yours"):
        start_for(bob, key)


def test_a_spent_budget_is_told_before_the_start(alice: User, key: LLMCredential) -> None:
    Budget.objects.create(name="tiny", owner=alice, user=alice, limit_units=0)

    with pytest.raises(BudgetGone, match="“tiny” is spent"):
        start_for(alice, key)


def test_a_pinned_token_measures_with_its_key_only(alice: User, key: LLMCredential) -> None:
    other = CredentialFactory.create(owner=alice, provider="google", key="AIza-sim-1234567890")
    token, _ = AccessToken.issue(user=alice, name="ci", credential=key)
    theirs = plan_of(None, contenders=(Contender("google", "", str(other.pk)),))

    prepared(plan=plan_of(key), source=Source.USER, user=alice, token=token)
    for plan in (theirs, plan_of(None)):
        with pytest.raises(OtherKey):
            prepared(plan=plan, source=Source.USER, user=alice, token=token)
