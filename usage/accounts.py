"""Who calls and who pays, and the terms that hold for their calls at the moment."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from time import monotonic
from typing import Any

from providers.vocabulary import Usage
from usage import price_lists
from usage.budget_models import Budget, Unit, nano_usd
from usage.budgets import NoPrice, Parties, known_over
from usage.leases import Held
from usage.memory import Changes
from usage.models import Surface
from usage.price_models import PriceOverride, known_overrides
from usage.prices import Listed, Price, listed, most_that_it_costs, price_of
from usage.rates import plan_of

TERMS_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, and by which door."""

    surface: Surface
    user_id: Any = None
    access_token_id: int | None = None
    session_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose key and what model: the part of a selection that goes into the books."""

    provider: str
    model: str
    paid_by: str
    is_simulated: bool
    credential_id: uuid.UUID | None = None


class Account:
    """A caller and a payer. Who makes many calls at once keeps one account for all of them, so
    that what holds for them is looked up once.

    `row_text` is what their ledger rows have in common, as `usage.posting` writes it.
    """

    __slots__ = ("_terms", "caller", "parties", "payer", "row_text")

    def __init__(self, caller: Caller, payer: Payer) -> None:
        self.caller, self.payer = caller, payer
        self.parties = Parties(caller.user_id, caller.access_token_id, payer.credential_id)
        self.row_text = ""
        self._terms: Terms | None = None

    def terms(self) -> Terms | None:
        """Without the database; None if that has to be asked. What is remembered holds for
        `memory.SECONDS` after a look, and what is worked out of it for TERMS_SECONDS, unless a
        look finds a change."""
        known = self._terms
        if known and known.changes == Changes.count and monotonic() < known.until:
            return known
        self._terms = self._look()
        return self._terms

    def _look(self) -> Terms | None:
        changes = Changes.count
        entered = known_overrides()
        if entered is None or not price_lists.is_read():
            return None
        budgets = known_over(self.parties)
        return None if budgets is None else Terms(self, budgets, entered, changes)


class Terms:
    """What holds for an account's calls: the budgets that they count in, rate limits (`plan`), and
    prices."""

    __slots__ = ("_entered", "_listed", "_payer", "budgets", "changes", "keys", "plan", "until")

    def __init__(
        self,
        account: Account,
        budgets: tuple[Budget, ...],
        entered: Sequence[PriceOverride],
        changes: int,
    ) -> None:
        self.budgets, self.changes = budgets, changes
        # Leases and rows know budgets by numbers, as Python hashes a UUID by calling two functions.
        self.keys = [(budget.id.int, budget.unit == Unit.TOKENS) for budget in budgets]
        self.until = monotonic() + TERMS_SECONDS
        self.plan = plan_of(account.parties)
        self._payer, self._entered = account.payer, entered
        self._listed: dict[str, Listed | None] = {}

    def price(self, served: str, usage: Usage, at: datetime) -> Price:
        """Of a call that began at `at` and was answered by the model `served`."""
        known = self._on_list(served or self._payer.model)
        price = known.price(usage, at) if known else None
        return price or price_of(
            provider=self._payer.provider,
            models=(served, self._payer.model),
            usage=usage,
            at=at,
            entered=self._entered,
        )

    def units(self, most: Usage) -> tuple[Held, ...]:
        """What a call may take of each budget that uses no more than this. Raises NoPrice."""
        cost = self._most(most)
        if cost is None:
            for budget in self.budgets:
                if budget.refuses(cost):
                    raise NoPrice(budget)
        return self.counted(most.input_tokens + most.output_tokens, cost)

    def counted(self, tokens: int, cost: Decimal | None) -> tuple[Held, ...]:
        """What so much counts in each budget, in its own unit. Without a price it counts no
        dollars."""
        nano = 0 if cost is None else nano_usd(cost)
        return tuple([(key, tokens if in_tokens else nano) for key, in_tokens in self.keys])

    def _most(self, most: Usage) -> Decimal | None:
        """The most that a call may cost which uses no more than this; None if that is unknown."""
        now, payer = datetime.now(UTC), self._payer
        known = self._on_list(payer.model)
        cost = known.most(most, now) if known else None
        if cost is not None:
            return cost
        return most_that_it_costs(payer.provider, payer.model, most, now, self._entered)

    def _on_list(self, model: str) -> Listed | None:
        """None also where staff have entered prices, which go before the list's."""
        if model not in self._listed:
            self._listed[model] = None if self._entered else listed(self._payer.provider, model)
        return self._listed[model]
