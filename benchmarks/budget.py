"""What a run can cost at most, and never more than it may: money is set aside before each call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal

from django.utils import timezone

from benchmarks.measure import Sample
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import Prompt
from providers.vocabulary import Usage
from usage.prices import most_that_it_costs

OVERHEAD_TOKENS = 64  # what providers add around a message: roles, separators, a hidden preamble


class BudgetReached(Exception):
    """The next call could have cost more than is left of --max-cost."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


def most_of_call(contender: Contender, prompt: Prompt, max_tokens: int) -> Decimal | None:
    """The most that one call can cost: a token for each byte of the prompt, and the longest
    answer. None where no price is known."""
    usage = Usage(
        input_tokens=len(prompt.text.encode()) + OVERHEAD_TOKENS, output_tokens=max_tokens
    )
    return most_that_it_costs(contender.provider, contender.model, usage, timezone.now())


def most_of_plan(plan: Plan) -> Decimal | None:
    """None if the price of any contender is unknown."""
    total = Decimal(0)
    for (_, prompt), cost in _most_of_calls(plan).items():
        if cost is None:
            return None
        total += cost * (plan.runs + (plan.warmup if prompt == plan.prompts[0] else 0))
    return total


def _most_of_calls(plan: Plan) -> dict[tuple[Contender, Prompt], Decimal | None]:
    return {
        (contender, prompt): most_of_call(contender, prompt, plan.max_tokens)
        for contender in plan.contenders
        for prompt in plan.prompts
    }


def unpriced(contenders: Iterable[Contender], plan: Plan) -> list[Contender]:
    return [one for one in contenders if most_of_call(one, plan.prompts[0], 1) is None]


class Purse:
    """At most `max_cost` of the plan. Made before the event loop runs: it looks up prices.

    A call that succeeded has cost what it cost. One that failed may have been charged for all
    the same, so that all that was set aside for it counts as spent.
    """

    def __init__(self, plan: Plan) -> None:
        self._limit = plan.max_cost
        self._mosts = {} if self._limit is None else _most_of_calls(plan)
        self._spent, self._reserved = Decimal(0), Decimal(0)
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def reserved(self, step: Step) -> AsyncGenerator[list[Sample]]:
        """Sets aside what `step` can cost at most, waiting for calls under way to give back what
        they did not need; put the sample into the list. Raises BudgetReached."""
        most = self._most(step)
        async with self._settled:
            await self._settled.wait_for(lambda: not self._reserved or self._fits(most))
            if not self._fits(most):
                raise BudgetReached()
            self._reserved += most
        taken: list[Sample] = []
        try:
            yield taken
        finally:
            self._reserved -= most
            self._spent += _charged(taken, most)
            async with self._settled:
                self._settled.notify_all()

    def _most(self, step: Step) -> Decimal:
        if self._limit is None:
            return Decimal(0)
        most = self._mosts[step.contender, step.prompt]
        assert most is not None, "contenders without a price are refused where there is a limit"
        return most

    def _fits(self, most: Decimal) -> bool:
        return self._limit is None or self._spent + self._reserved + most <= self._limit


def _charged(taken: list[Sample], most: Decimal) -> Decimal:
    costs = [sample.record.cost_usd for sample in taken if sample.ok]
    return costs[0] if costs and costs[0] is not None else most
