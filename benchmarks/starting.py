"""Starting a run for somebody: what has to be right before it waits for a worker.

BadPlan               the plan itself is wrong (benchmarks/plan_rules.py)
StartError(ValueError)
├── NothingToMeasure  none of the keys can be used
├── PriceNeeded       a limit of cost can't be kept without a price
├── LimitTooLow       not one call fits into the limit of cost
├── TooLarge          more calls than a run may have
├── TooMuchAtOnce     more calls at a time than a server makes for one person
├── OtherKey          the access token is pinned to another key
└── BudgetGone        a hard budget is spent
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from benchmarks import background, store
from benchmarks.budget import most_of_call, most_of_plan, unpriced
from benchmarks.keys import Keys, gather, of_simulator, of_user
from benchmarks.models import BenchmarkRun
from benchmarks.plan import Plan
from benchmarks.plan_rules import checked
from benchmarks.run import Source
from benchmarks.schedule_models import BenchmarkSchedule
from credentials.models import AccessToken
from usage.budget_models import Budget
from usage.budgets import fresh, next_room
from usage.templatetags.usage_format import count, usd

MOST_CALLS, MOST_AT_A_TIME = 20_000, 64
LIMITS: dict[str, Any] = {
    "min_value": Decimal("0.000001"),
    "max_value": Decimal(1000),
    "max_digits": 10,
    "decimal_places": 6,
}
"""Of what a run may cost, as fields of forms and of the API want to be told."""


class StartError(ValueError):
    """This run can't be started."""

    status = 400
    code = "cannot_start"

    def __init__(self, **facts: object) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class NothingToMeasure(StartError):
    """None of the keys can be used. {reasons}"""

    status = 409
    code = "no_credential"


class PriceNeeded(StartError):
    """No price is known for {models}, so the limit of cost can't be kept. Leave it out, or have
    staff enter a price."""

    code = "price_unknown"


class LimitTooLow(StartError):
    """One call of {model} may cost {most}, more than the limit of {limit}. Raise the limit, or ask
    for shorter answers."""

    code = "limit_too_low"


class TooLarge(StartError):
    """These are {calls} calls; a run has {most} at most. Take fewer runs, prompts or models."""

    code = "too_large"


class TooMuchAtOnce(StartError):
    """A server makes at most {most} calls at a time, or a second, for one run. For more use
    `manage.py benchmark` on a machine of your own."""

    code = "too_large"


class OtherKey(StartError):
    """This access token is pinned to one key and may measure with no other."""

    status = 403
    code = "other_key"


class BudgetGone(StartError):
    """The budget “{name}” is spent; there is room again at {resets:%Y-%m-%d %H:%M} UTC."""

    status = 402
    code = "budget_spent"


@dataclass(frozen=True, slots=True)
class Ready:
    """A plan that can be carried out, of those contenders whose key can be used."""

    plan: Plan
    keys: Keys

    @property
    def calls(self) -> int:
        return calls_of(self.plan)

    @property
    def most(self) -> Decimal:
        """The most that it can cost, limit or not; 0 where nothing is priced."""
        return most_of_plan(self.plan) or Decimal(0)


def calls_of(plan: Plan) -> int:
    rounds = plan.warmup * plan.shards + len(plan.levels) * len(plan.prompts) * plan.runs
    return rounds * len(plan.contenders)


def prepared(*, plan: Plan, source: Source, user: Any, token: AccessToken | None = None) -> Ready:
    """Opens no key and sends nothing. A seed of 0 means one by chance. Raises BadPlan and
    StartError."""
    checked(plan)
    if calls_of(plan) > MOST_CALLS:
        raise TooLarge(calls=count(calls_of(plan)), most=count(MOST_CALLS))
    if max(*plan.levels, plan.rate or 0) > MOST_AT_A_TIME:
        raise TooMuchAtOnce(most=MOST_AT_A_TIME)
    if token and token.credential_id:
        _only_pinned(plan, source, str(token.credential_id))
    keys = _keys(plan, source, user)
    if not keys.selections:
        reasons = " ".join(dict.fromkeys(keys.skipped.values()))
        raise NothingToMeasure(reasons=f"{reasons}." if reasons[-1:].isalnum() else reasons)
    seed = plan.seed or secrets.randbelow(2**32)
    found = replace(plan, contenders=tuple(keys.selections), seed=seed)
    _refuse_unaffordable(found)
    _refuse_spent(keys, user, token)
    return Ready(found, keys)


@transaction.atomic
def create(
    *,
    plan: Plan,
    source: Source,
    user: Any,
    token: AccessToken | None = None,
    schedule: BenchmarkSchedule | None = None,
) -> BenchmarkRun:
    """A new run of `user`; `background.enqueue` hands it to a task worker. Raises BadPlan
    and StartError."""
    ready = prepared(plan=plan, source=source, user=user, token=token)
    run = store.create(
        plan=ready.plan,
        source=source,
        owner_id=user.pk,
        simulated=ready.keys.simulated,
        skipped=ready.keys.skipped,
    )
    run.access_token, run.schedule = token, schedule
    run.in_background, run.enqueued_at = True, timezone.now()
    run.save(update_fields=["access_token", "schedule", "in_background", "enqueued_at"])
    return run


def start(
    *, plan: Plan, source: Source, user: Any, token: AccessToken | None = None
) -> BenchmarkRun:
    """Creates it and hands it out. Raises BadPlan and StartError."""
    run = create(plan=plan, source=source, user=user, token=token)
    background.enqueue(run.pk)
    return run


def _keys(plan: Plan, source: Source, user: Any) -> Keys:
    select = of_simulator("http://not-called") if source == Source.SIMULATOR else of_user(user)
    return gather(source, select, plan.contenders)


def _only_pinned(plan: Plan, source: Source, pinned: str) -> None:
    if source == Source.USER and any(one.credential != pinned for one in plan.contenders):
        raise OtherKey


def _refuse_unaffordable(plan: Plan) -> None:
    if plan.max_cost is None:
        return
    if unknown := unpriced(plan.contenders, plan):
        raise PriceNeeded(models=", ".join(one.model for one in unknown))
    for one in plan.contenders:
        for prompt in plan.prompts:
            most = most_of_call(one, prompt, plan.max_tokens) or Decimal(0)
            if most > plan.max_cost:
                raise LimitTooLow(model=one.model, most=usd(most), limit=usd(plan.max_cost))


def _refuse_spent(keys: Keys, user: Any, token: AccessToken | None) -> None:
    for selection in keys.selections.values():
        budgets = Budget.objects.over(
            user_id=user.pk,
            access_token_id=token.pk if token else None,
            credential_id=selection.payer.credential_id,
        )
        for budget in fresh(budgets):
            if budget.is_hard and budget.spent_units + budget.reserved_units >= budget.limit_units:
                raise BudgetGone(name=budget.name, resets=next_room(budget))
