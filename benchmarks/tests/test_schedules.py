"""Schedules: their runs are made when they are due, once, or skipped with a reason."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from benchmarks import schedules
from benchmarks.models import BenchmarkRun, BenchmarkSchedule
from benchmarks.plan_json import plan_to_json
from benchmarks.rhythm import Every
from benchmarks.schedules import start_due
from benchmarks.tests.test_background import key, plan_of
from credentials.models import AccessToken, LLMCredential
from usage.models import Budget

__all__ = ["key"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def never_carried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.tasks.execute", lambda run_id: None)


def schedule_of(key: LLMCredential, owner: User, **fields: Any) -> BenchmarkSchedule:
    values = {
        "name": "every six hours",
        "plan": {"keys": "user", **plan_to_json(plan_of(key))},
        "every": Every.HOURS,
        "next_at": timezone.now() - timedelta(minutes=1),
        **fields,
    }
    return BenchmarkSchedule.objects.create(owner=owner, **values)


@pytest.mark.django_db(transaction=True)
def test_what_is_due_is_run_and_due_again_later(alice: User, key: LLMCredential) -> None:
    schedule = schedule_of(key, alice)

    assert (start_due(), start_due()) == (1, 0)

    before = schedule.next_at
    schedule.refresh_from_db()
    run = schedule.runs.get()
    assert (run.status, run.done, run.owner) == ("completed", 3, alice)
    assert schedule.next_at == before + timedelta(hours=6) and schedule.last_due_at == before
    assert schedule.note == ""


def test_each_run_has_an_order_of_its_own(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    for schedule in (schedule_of(key, alice), schedule_of(key, alice)):
        start_due()
        assert schedule.runs.count() == 1

    seeds = {run.plan["seed"] for run in BenchmarkRun.objects.all()}
    assert len(seeds) == 2


def test_what_is_not_due_or_switched_off_is_left_alone(alice: User, key: LLMCredential) -> None:
    schedule_of(key, alice, next_at=timezone.now() + timedelta(minutes=1))
    schedule_of(key, alice, is_active=False)

    assert start_due() == 0


@pytest.mark.django_db(transaction=True)
def test_many_servers_that_look_at_once_start_one_run(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    schedule = schedule_of(key, alice)
    together = Barrier(6)

    def look(_: int) -> int:
        try:
            together.wait(timeout=10)
            return start_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as servers:
        assert sum(servers.map(look, range(6))) == 1
    assert schedule.runs.count() == 1


def test_times_missed_while_no_server_ran_make_one_run(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    schedule = schedule_of(key, alice, next_at=timezone.now() - timedelta(days=9, minutes=1))

    assert (start_due(), start_due()) == (1, 0)
    schedule.refresh_from_db()
    assert timedelta(hours=5) < schedule.next_at - timezone.now() < timedelta(hours=6)


def test_a_plan_that_is_none_any_more_keeps_no_other_schedule_waiting(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    bad, good = schedule_of(key, alice), schedule_of(key, alice)
    bad.plan["runs"] = 10**6
    bad.save()

    assert start_due() == 1 and good.runs.count() == 1
    bad.refresh_from_db()
    assert "from 1 to 10000" in bad.note and bad.next_at > timezone.now()


def test_a_run_that_broke_off_before_it_was_made_is_still_due(
    alice: User, key: LLMCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = schedule_of(key, alice)

    def breaks(**kwargs: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(schedules, "create", breaks)
    with pytest.raises(MemoryError):
        start_due()

    due = schedule.next_at
    schedule.refresh_from_db()
    assert schedule.next_at == due


def skipped(schedule: BenchmarkSchedule) -> str:
    assert start_due() == 0
    before = schedule.next_at
    schedule.refresh_from_db()
    assert schedule.next_at > before
    return schedule.note


def test_it_is_skipped_without_a_usable_key(alice: User, key: LLMCredential) -> None:
    key.is_active = False
    key.save()

    assert "None of the keys can be used" in skipped(schedule_of(key, alice))


def test_it_is_skipped_when_a_budget_is_spent(alice: User, key: LLMCredential) -> None:
    Budget.objects.create(name="tiny", owner=alice, user=alice, limit_units=0)

    assert "“tiny” is spent" in skipped(schedule_of(key, alice))


def test_it_is_skipped_while_its_last_run_goes_on(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    schedule = schedule_of(key, alice)
    start_due()
    BenchmarkSchedule.objects.update(next_at=timezone.now() - timedelta(seconds=1))
    schedule.refresh_from_db()

    assert "not finished yet" in skipped(schedule)


def test_it_ends_with_the_token_that_made_it(alice: User, key: LLMCredential) -> None:
    token, _ = AccessToken.issue(user=alice, name="ci")
    schedule = schedule_of(key, alice, access_token=token)
    AccessToken.objects.update(revoked_at=timezone.now())

    assert "“ci”, which made this, is revoked" in skipped(schedule)


def test_it_is_skipped_for_an_account_that_is_switched_off(alice: User, key: LLMCredential) -> None:
    schedule = schedule_of(key, alice)
    User.objects.update(is_active=False)

    assert "switched off" in skipped(schedule)


def test_what_could_run_again_forgets_why_it_was_skipped(
    alice: User, key: LLMCredential, never_carried_out: None
) -> None:
    schedule = schedule_of(key, alice, note="None of the keys can be used.")
    start_due()

    schedule.refresh_from_db()
    assert schedule.note == ""
