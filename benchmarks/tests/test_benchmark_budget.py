"""Money: set aside before each call, over all shards of a run, and after a crash."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from benchmarks import store
from benchmarks.budget import NANO, BudgetReached, Purse, charged, most_of_call
from benchmarks.models import BenchmarkShard, RunStatus
from benchmarks.plan import Plan
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from benchmarks.store import Claim
from benchmarks.tests.samples import OPENAI, sample

pytestmark = pytest.mark.django_db(transaction=True)


def most() -> Decimal:
    found = most_of_call(OPENAI, PROMPTS[0], 1024)
    assert found is not None
    return found


def claims(limit: Decimal, shards: int = 1) -> list[tuple[Plan, Claim]]:
    plan = Plan(contenders=(OPENAI,), seed=1, max_cost=limit, shards=shards)
    row = store.create(plan=plan, source=Source.ENVIRONMENT, owner_id=None)
    found = [store.take(row.pk) for _ in range(shards)]
    return [(plan, claim) for claim in found if claim]


@pytest.mark.parametrize(("error", "calls"), [("", 3), ("overloaded", 2)])
def test_a_purse_never_gives_more_than_it_holds(error: str, calls: int) -> None:
    """A call that failed counts with all that was set aside; a good one gives back the rest."""
    limit = most() * 2 if error else most() + Decimal("0.000025")
    ((plan, claim),) = claims(limit)
    steps = plan.steps()[:9]
    purse, done = Purse(plan, claim), 0

    with suppress(BudgetReached):
        for step in steps:
            aside = async_to_sync(purse.set_aside)(step)
            taken = replace(sample(cost="0.000010", error=error), step=step)
            store.write(claim, [(taken, aside, charged(taken, aside))])
            done += 1

    assert done == calls


def test_shards_share_one_purse() -> None:
    (one, first), (other, second) = claims(most() * Decimal("1.5"), shards=2)
    step = one.steps()[0]
    async_to_sync(Purse(one, first).set_aside)(step)

    store.write(first, [(replace(sample(error="overloaded"), step=step), 0, int(most() * NANO))])
    with pytest.raises(BudgetReached):
        async_to_sync(Purse(other, second).set_aside)(step)


def test_once_the_money_is_out_no_other_shard_is_begun() -> None:
    plan = Plan(contenders=(OPENAI,), seed=1, shards=3)
    row = store.create(plan=plan, source=Source.ENVIRONMENT, owner_id=None)
    first = store.take(row.pk)
    assert first is not None

    store.end(first, RunStatus.OUT_OF_MONEY, "The money is out.")

    row.refresh_from_db()
    assert (row.status, row.error) == (RunStatus.OUT_OF_MONEY, "The money is out.")
    assert store.take(row.pk) is None


def test_what_was_set_aside_when_a_process_died_counts_as_spent() -> None:
    ((plan, claim),) = claims(most() * 2)
    async_to_sync(Purse(plan, claim).set_aside)(plan.steps()[0])
    BenchmarkShard.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))

    again = store.take(claim.run_id)

    assert again is not None
    shard = BenchmarkShard.objects.get()
    assert (shard.spent, shard.reserved) == (int(most() * NANO), 0)
    async_to_sync(Purse(plan, again).set_aside)(plan.steps()[0])
    with pytest.raises(store.ClaimLost):
        store.write(claim, [(sample(), 0, 0)])


def test_an_answer_that_did_not_tell_its_usage_is_charged_with_all_that_was_set_aside() -> None:
    taken = sample(cost="0.000010")
    untold = replace(taken, bill=replace(taken.bill, usage_source="estimated"))

    assert charged(taken, 99_999) == 10_000 and charged(untold, 99_999) == 99_999
