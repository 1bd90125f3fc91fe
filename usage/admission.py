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

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from credentials.limits import LocalBuckets, buckets
from providers.vocabulary import Usage
from usage import leases, price_lists
from usage.accounts import Terms
from usage.budget_models import Budget, Unit
from usage.budgets import (
    Intent,
    NoPrice,
    NoRoom,
    cancel,
    next_room,
    over,
    read_over,
    reserve,
)
from usage.ledger import OpenCall
from usage.price_models import PriceOverride, read_overrides
from usage.prices import most_that_it_costs
from usage.rates import Hold, LimitReached, Plan, plan_of, take
from usage.signals import call_refused
from usage.templatetags.usage_format import count, usd

InDatabase = Callable[..., Awaitable[Any]]
"""Takes a job to a thread that may use the database."""


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


_NONE = Usage()
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
    with _telling():
        call.hold = _hold(call, most or _NONE, plan_of(call.parties))
        if most is not None:
            with _giving_back(call):
                _set_aside(call, most)


def admit_at_once(call: OpenCall, most: Usage | None) -> bool:
    """`admit` without the database: False where that has to be asked, and then nothing is held.
    Raises a NotAdmitted too."""
    if not isinstance(buckets(), LocalBuckets):
        return False
    terms = call.account.terms()
    try:
        held = () if most is None else _held(call, most, terms)
        if held is None:
            return False
        plan = terms.plan if terms else plan_of(call.account.parties)
        call.hold = _hold(call, most or _NONE, plan, held)
    except NotAdmitted as error:
        _tell(error)
        raise
    call.held = held
    return True


def _held(call: OpenCall, most: Usage, terms: Terms | None) -> tuple[leases.Held, ...] | None:
    """What the call takes of this process's leases; None if its budgets are not known, or their
    leases have no room."""
    if terms is None or not terms.budgets:
        return None if terms is None else ()
    try:
        held = terms.units(most)
        return held if leases.take(held) else None
    except NoPrice as refusal:
        raise _unknown(call, refusal) from None


def make_room(call: OpenCall, most: Usage) -> None:
    """Sees to it that calls like this one can be admitted at once, where their budgets have plenty
    of room. Uses the database. Raises PriceUnknown."""
    budgets, entered = read_over(call.parties), read_overrides()
    price_lists.current()
    with _naming(call):
        leases.extend(_intent(call, most, entered), budgets)


def readmit(call: OpenCall, most: Usage) -> None:
    """For a call that goes on with another payer: what it had set aside is given back, and set
    aside anew. As to how many calls a minute, it is still one. Raises BudgetSpent, PriceUnknown."""
    give_back(call)
    _set_aside(call, most)


def withdraw(call: OpenCall) -> None:
    """Gives back all that a call has taken that is not made after all. Uses the database."""
    give_back(call)
    if call.hold:
        call.hold.cancel()
        call.hold = None


async def let_in(in_database: InDatabase, call: OpenCall, most: Usage | None) -> None:
    """`admit`, by whatever takes work to the database. Who is cancelled meanwhile has taken
    nothing in the end: a job that has begun can't be stopped."""
    admitting = asyncio.ensure_future(in_database(admit, call, most))
    try:
        await asyncio.shield(admitting)
    except asyncio.CancelledError:
        await asyncio.shield(_withdrawn(admitting, in_database, call))
        raise


async def _withdrawn(admitting: Awaitable[None], in_database: InDatabase, call: OpenCall) -> None:
    with suppress(NotAdmitted):
        await admitting
        await in_database(withdraw, call)


def give_back(call: OpenCall) -> None:
    """Takes back what a call has set aside that is not made this way. Uses the database."""
    leases.give_back(call.held, used=False)
    call.held = ()
    if call.has_reservations:
        cancel(call.id)
        call.has_reservations = False


@contextmanager
def _telling() -> Iterator[None]:
    """Tells who counts refusals."""
    try:
        yield
    except NotAdmitted as error:
        _tell(error)
        raise


def _tell(error: NotAdmitted) -> None:
    call_refused.send_robust(OpenCall, error=error)


@contextmanager
def _giving_back(call: OpenCall) -> Iterator[None]:
    try:
        yield
    except Exception:
        assert call.hold is not None
        call.hold.cancel()
        raise


def _hold(call: OpenCall, most: Usage, plan: Plan, held: tuple[leases.Held, ...] = ()) -> Hold:
    """What the call takes of its rate limits. Where one is reached, `held` is given back too."""
    try:
        return take(call.name, plan, most.input_tokens)
    except LimitReached as reached:
        leases.give_back(held, used=False)
        raise TOO_MANY[reached.kind](reached) from None


def _set_aside(call: OpenCall, most: Usage) -> None:
    call.warnings = ()
    budgets = over(call.parties)
    if not budgets:
        return
    with _naming(call):
        overdrawn = reserve(_intent(call, most), budgets)
    call.has_reservations = True
    call.warnings = tuple(f"The budget “{budget.name}” is overdrawn." for budget in overdrawn)


@contextmanager
def _naming(call: OpenCall) -> Iterator[None]:
    """Says in people's words why a budget lets a call not through."""
    try:
        yield
    except NoRoom as refusal:
        raise _spent(refusal.budget, refusal.units) from None
    except NoPrice as refusal:
        raise _unknown(call, refusal) from None


def _unknown(call: OpenCall, refusal: NoPrice) -> PriceUnknown:
    return PriceUnknown(None, name=refusal.budget.name, model=call.payer.model)


def _intent(call: OpenCall, most: Usage, entered: Sequence[PriceOverride] | None = None) -> Intent:
    payer = call.payer
    cost = most_that_it_costs(payer.provider, payer.model, most, datetime.now(UTC), entered)
    return Intent(call.id, most, cost)


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
