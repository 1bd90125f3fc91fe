"""What a run can cost at most, and never more than it may: money is set aside before each call.

What is set aside and what is spent stands in the shards' rows, so that the limit holds over
several processes and over a crash: calls that were under way then count with all that was set
aside for them. Amounts in rows are billionths of a dollar.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from decimal import Decimal

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from benchmarks.models import BenchmarkRun, BenchmarkShard
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import Prompt
from benchmarks.sample import Sample
from benchmarks.store import Claim
from providers.vocabulary import Usage
from usage.models import UsageSource
from usage.prices import most_that_it_costs

OVERHEAD_TOKENS = 64  # what providers add around a message: roles, separators, a hidden preamble
NANO = 10**9
LOOK_AGAIN_SECONDS = 0.1


class BudgetReached(Exception):
    """The next call could have cost more than is left of --max-cost."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


def most_of_call(contender: Contender, prompt: Prompt, max_tokens: int) -> Decimal | None:
    """The most that one call can cost: a token for each byte of the prompt, and the longest
    answer. None where no price is known."""
    said = len((prompt.system + prompt.text).encode())
    usage = Usage(input_tokens=said + OVERHEAD_TOKENS, output_tokens=max_tokens)
    return most_that_it_costs(contender.provider, contender.model, usage, timezone.now())


def most_of_plan(plan: Plan) -> Decimal | None:
    """None if the price of any contender is unknown."""
    mosts = _most_of_calls(plan)
    costs = [mosts[step.contender, step.prompt] for step in plan.steps()]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _most_of_calls(plan: Plan) -> dict[tuple[Contender, Prompt], Decimal | None]:
    return {
        (contender, prompt): most_of_call(contender, prompt, plan.max_tokens)
        for contender in plan.contenders
        for prompt in plan.prompts
    }


def unpriced(contenders: Iterable[Contender], plan: Plan) -> list[Contender]:
    return [one for one in contenders if most_of_call(one, plan.prompts[0], 1) is None]


class Purse:
    """At most `max_cost` of the plan, over all shards. Made before the event loop runs: it looks
    up prices."""

    def __init__(self, plan: Plan, claim: Claim) -> None:
        self._claim = claim
        self._limit = None if plan.max_cost is None else math.floor(plan.max_cost * NANO)
        self._mosts = {} if self._limit is None else _most_of_calls(plan)

    async def set_aside(self, step: Step) -> int:
        """The most that `step` can cost, set aside for it; where there is no room it waits for
        calls under way to give back what they did not need. Raises BudgetReached."""
        if self._limit is None:
            return 0
        most = self._mosts[step.contender, step.prompt]
        assert most is not None, "contenders without a price are refused where there is a limit"
        wanted = math.ceil(most * NANO)
        while not await sync_to_async(_reserve)(self._claim, wanted, self._limit):
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return wanted

    async def give_back(self, aside: int) -> None:
        """For a call that was not sent."""
        if aside:
            await sync_to_async(_give_back)(self._claim, aside)


def charged(sample: Sample, aside: int) -> int:
    """A call that succeeded and told its usage has cost what it cost. Another one may have been
    charged for anything up to what was set aside for it, so that counts as spent."""
    told = sample.ok and sample.bill.usage_source == UsageSource.REPORTED
    cost = sample.bill.cost_usd if told else None
    return aside if cost is None else math.ceil(cost * NANO)


def _reserve(claim: Claim, wanted: int, limit: int) -> bool:
    """False: there may be room once calls under way have ended. Raises BudgetReached."""
    with transaction.atomic():
        BenchmarkRun.objects.select_for_update().get(pk=claim.run_id)
        shards = BenchmarkShard.objects.filter(run_id=claim.run_id)
        total = shards.aggregate(spent=Sum("spent"), reserved=Sum("reserved"))
        if total["spent"] + total["reserved"] + wanted <= limit:
            shards.filter(pk=claim.shard_id).update(reserved=F("reserved") + wanted)
            return True
        if total["spent"] + wanted > limit or not shards.held(timezone.now()).with_money().exists():
            raise BudgetReached()
        return False


def _give_back(claim: Claim, aside: int) -> None:
    BenchmarkShard.objects.filter(pk=claim.shard_id).update(reserved=F("reserved") - aside)
