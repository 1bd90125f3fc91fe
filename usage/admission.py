"""Admission: may this call be made now?

    NotAdmitted
    ├── TooManyCalls   faster than the limit of calls a minute
    │   ├── TooManyTokens  faster than the limit of tokens a minute
    │   └── TooManyAtOnce  as many calls are under way as may be
    ├── BudgetSpent    a hard budget has no room for the most that the call can cost
    └── PriceUnknown   a budget wants to know the price of every call

Nothing has been sent to a provider then, and nothing is in the ledger.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils import timezone

from providers.vocabulary import Usage
from usage.budget_models import Budget, Unit
from usage.budgets import Intent, NoPrice, NoRoom, cancel, next_room, reserve
from usage.ledger import OpenCall
from usage.prices import most_that_it_costs
from usage.rates import Hold, LimitReached, take
from usage.signals import call_refused
from usage.templatetags.usage_format import count, usd


class NotAdmitted(Exception):
    """This call is not admitted. Try again in {seconds} seconds."""

    status = 429
    code = "not_admitted"

    def __init__(self, retry_after: float | None, **facts: object) -> None:
        self.retry_after = retry_after
        seconds = "" if retry_after is None else f"{retry_after:.1f}"
        sentence = " ".join((type(self).__doc__ or "").split())
        super().__init__(sentence.format(seconds=seconds, **facts))


class TooManyCalls(NotAdmitted):
    """The limit of {limit} calls a minute for this {holder} is reached. Wait {seconds} seconds."""

    code = "too_many_calls"
    retry_after: float

    def __init__(self, reached: LimitReached) -> None:
        self.remaining = reached.remaining
        super().__init__(reached.wait, limit=f"{reached.limit:,}", holder=reached.holder)


class TooManyTokens(TooManyCalls):
    """The limit of {limit} tokens a minute for this {holder} is reached. Wait {seconds} seconds."""

    code = "too_many_tokens"


class TooManyAtOnce(TooManyCalls):
    """As many calls are under way for this {holder} as may be at the same time: {limit}. Try again
    when one of them has ended."""

    code = "too_many_at_once"


TOO_MANY = {"calls": TooManyCalls, "tokens": TooManyTokens, "concurrent": TooManyAtOnce}


class BudgetSpent(NotAdmitted):
    """The budget “{name}” has no room for this call, which may take {most}: {spent} of {limit}
    are spent and {reserved} set aside for calls under way. {resets}."""

    status = 402
    code = "budget_spent"


class PriceUnknown(NotAdmitted):
    """The budget “{name}” allows only calls whose price is known, and nobody has told the price of
    {model}. Choose another model, or have the price entered."""

    status = 402
    code = "price_unknown"


def admit(call: OpenCall, most: Usage | None) -> None:
    """Lets one call through, or raises a NotAdmitted. `most` is the most that it can use: so much
    is set aside in its budgets until it is settled. None says that the call is free of charge:
    then it counts in the rate limits only.

    Uses the database: wrap it where a loop runs.
    """
    try:
        _admit(call, most)
    except NotAdmitted as error:
        call_refused.send_robust(OpenCall, error=error)
        raise


def readmit(call: OpenCall, most: Usage) -> None:
    """For a call that goes on with another payer: what it had set aside is given back, and set
    aside anew. As to how many calls a minute, it is still one. Raises BudgetSpent, PriceUnknown."""
    cancel(call.id)
    _set_aside(call, most)


def _admit(call: OpenCall, most: Usage | None) -> None:
    call.hold = _hold(call, most or Usage())
    if most is None:
        return
    try:
        _set_aside(call, most)
    except Exception:
        call.hold.cancel()
        raise


def _hold(call: OpenCall, most: Usage) -> Hold:
    holders = {
        "user": call.caller.user_id,
        "access token": call.caller.access_token_id,
        "credential": call.payer.credential_id,
    }
    try:
        return take(call.id, holders, most.input_tokens)
    except LimitReached as reached:
        raise TOO_MANY[reached.kind](reached) from None


def _set_aside(call: OpenCall, most: Usage) -> None:
    caller, payer = call.caller, call.payer
    call.warnings = ()
    budgets = Budget.objects.over(
        user_id=caller.user_id,
        access_token_id=caller.access_token_id,
        credential_id=payer.credential_id,
    )
    if not budgets:
        return
    cost = most_that_it_costs(payer.provider, payer.model, most, timezone.now())
    try:
        overdrawn = reserve(Intent(call_id=call.id, most=most, cost=cost), budgets)
    except NoRoom as refusal:
        raise _spent(refusal.budget, refusal.units) from None
    except NoPrice as refusal:
        raise PriceUnknown(None, name=refusal.budget.name, model=payer.model) from None
    call.warnings = tuple(f"The budget “{budget.name}” is overdrawn." for budget in overdrawn)


def _spent(budget: Budget, most: int) -> BudgetSpent:
    again = next_room(budget)
    return BudgetSpent(
        max(1.0, (again - timezone.now()).total_seconds()),
        name=budget.name,
        most=told(budget, budget.amount(most)),
        spent=told(budget, budget.spent),
        limit=told(budget, budget.limit),
        reserved=told(budget, budget.reserved),
        resets=_resets(budget, again),
    )


def told(budget: Budget, amount: Decimal) -> str:
    return usd(amount) if budget.unit == Unit.USD else f"{count(int(amount))} tokens"


def _resets(budget: Budget, again: datetime) -> str:
    local = again.astimezone(ZoneInfo(budget.time_zone))
    moment = f"{local.day} {local:%b %Y, %H:%M} {budget.time_zone}"
    return f"It has room again from {moment} on" if budget.is_rolling else f"It resets on {moment}"
