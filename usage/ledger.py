"""Settling: every provider call becomes one row, also when it failed or was cut off."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models.base import ModelState
from structlog.contextvars import bind_contextvars

from credentials.models import AccessToken, LLMCredential
from providers.vocabulary import Usage
from usage.accounts import Account, Caller, Payer, Terms
from usage.budgets import Parties
from usage.call_ids import new_call_id
from usage.leases import Held
from usage.models import Status, UsageRecord, UsageSource
from usage.posting import Made, post
from usage.prices import FREE, Price, price_of
from usage.rates import Hold

CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb for English; only where nothing was reported


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one call cost and who paid, for whoever asked. `cost_usd` is None if unknown."""

    call_id: str
    provider: str
    model: str
    paid_by: str
    simulated: bool
    credential_id: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    latency_ms: float
    ttft_ms: float | None
    usage_source: str
    warnings: tuple[str, ...]


class OpenCall:
    """A call under way: the clock runs from the moment this is made until `settle`.

    `id` is the id that its row will have; `start` is a reading of `perf_counter`. A try that
    failed and was followed by another is a call of its own, `attempt_of` the one that goes on.
    """

    operation = "chat"  # or embeddings, count_tokens, list_models
    retries = 0
    warnings: tuple[str, ...] = ()  # of soft budgets, said when it was admitted
    hold: Hold | None = None  # what admission took of its rate limits
    held: Sequence[Held] = ()  # and of this process's leases on budgets,
    has_reservations = False  # or set aside for it alone
    is_closed = False
    _first: float | None = None
    _end: float | None = None

    def __init__(self, account: Account, *, attempt_of: uuid.UUID | None = None) -> None:
        self.id = new_call_id()
        self.name = str(self.id)  # needed in many places, and slow to make
        self.attempt_of = attempt_of
        self.account = account
        self.started_at = datetime.now(UTC)
        self.start = perf_counter()

    @property
    def caller(self) -> Caller:
        return self.account.caller

    @property
    def payer(self) -> Payer:
        return self.account.payer

    @property
    def parties(self) -> Parties:
        return self.account.parties

    def begin(self) -> None:
        """Starts the clock anew: what came before was our own work, or an earlier try. From here
        on log lines of this task name the call."""
        bind_contextvars(call_id=self.name)
        self.started_at = datetime.now(UTC)
        self.start = perf_counter()

    def earlier_try(self) -> OpenCall:
        """The try that has just failed, to be settled as a call of its own; this one goes on."""
        earlier = OpenCall(self.account, attempt_of=self.id)
        earlier.started_at, earlier.start = self.started_at, self.start
        earlier.stop()
        self.retries += 1
        return earlier

    def charge_to(self, payer: Payer) -> None:
        self.account = Account(self.caller, payer)

    @property
    def ttft_ms(self) -> float | None:
        return None if self._first is None else (self._first - self.start) * 1000

    def first_token(self) -> None:
        """Call it at every token: only the first one counts."""
        if self._first is None:
            self._first = perf_counter()

    def stop(self) -> None:
        """Stops the clock: the answer is complete or has failed."""
        self._end = perf_counter()

    def forget_the_deleted(self) -> None:
        """Names no user, token or key that is not there any more, as rows of earlier calls don't.
        Uses the database."""
        caller, payer = self.caller, self.payer
        self.account = Account(
            replace(
                caller,
                user_id=_existing(get_user_model(), caller.user_id),
                access_token_id=_existing(AccessToken, caller.access_token_id),
            ),
            replace(payer, credential_id=_existing(LLMCredential, payer.credential_id)),
        )

    def close(self, outcome: Outcome) -> Closed:
        """The call is over. What is left is to write its row: `post` or `group_commit` do. Latency
        runs until `stop()`, or until now if that was not called."""
        self.is_closed = True
        if self.hold:
            self.hold.settle(outcome.usage.input_tokens + outcome.usage.output_tokens)
        return Closed(self, outcome, self._end or perf_counter())

    def settle(
        self,
        *,
        status: Status,
        usage: Usage,
        usage_source: UsageSource,
        error_code: str = "",
        reason: str = "",
        model_served: str = "",
        request_id: str = "",
        is_free: bool = False,
    ) -> UsageRecord:
        """Closes the call and writes its row. Uses the database."""
        outcome = Outcome(
            status=status,
            usage=usage,
            usage_source=usage_source,
            error_code=error_code,
            reason=reason,
            model_served=model_served,
            request_id=request_id,
            is_free=is_free,
        )
        return post([self.close(outcome)])[0]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How a call went. The credential learns it too: `error_code` and `reason` (a sentence) may
    put it into quarantine. `is_free` says that no provider takes money for such a call."""

    status: Status
    usage: Usage
    usage_source: UsageSource
    error_code: str = ""
    reason: str = ""
    model_served: str = ""
    request_id: str = ""
    is_free: bool = False


@dataclass(slots=True)
class Closed:
    """A call that is over and has no row yet. `end` is a reading of `perf_counter`, and so is
    `landed`, of when its row was durable. `made` is what `usage.posting` has made of it ahead of
    writing it."""

    call: OpenCall
    outcome: Outcome
    end: float
    made: Made | None = None
    landed: float = 0.0

    def record(self, terms: Terms | None = None) -> UsageRecord:
        """The row, priced, not saved. Uses the database if it is not given the terms."""
        call, outcome = self.call, self.outcome
        account, usage = call.account, outcome.usage
        caller, payer = account.caller, account.payer
        price = FREE if outcome.is_free else self._price(terms)
        row = UsageRecord.__new__(UsageRecord)  # to have Django make it takes five times as long
        row.__dict__ = {
            "_state": ModelState(),
            "warnings": call.warnings,
            "id": call.id,
            "attempt_of": call.attempt_of,
            "corrects_id": None,
            "user_id": caller.user_id,
            "access_token_id": caller.access_token_id,
            "session_id": caller.session_id,
            "surface": caller.surface,
            "credential_id": payer.credential_id,
            "provider": payer.provider,
            "model": payer.model[:128],
            "model_served": outcome.model_served[:128],
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cache_write_1h_tokens": usage.cache_write_1h_tokens,
            "service_tier": usage.service_tier,
            "usage_source": outcome.usage_source,
            "cost_usd": price.cost,
            "unit_prices": price.units,
            "price_source": price.source,
            "latency_ms": (self.end - call.start) * 1000,
            "ttft_ms": call.ttft_ms,
            "status": outcome.status,
            "error_code": outcome.error_code,
            "retries": call.retries,
            "paid_by": payer.paid_by,
            "is_simulated": payer.is_simulated,
            "request_id": outcome.request_id[:128],
            "created_at": None,  # it is set when it is written
        }
        return row

    def _price(self, terms: Terms | None) -> Price:
        call, outcome = self.call, self.outcome
        if terms:
            return terms.price(outcome.model_served, outcome.usage, call.started_at)
        return price_of(
            provider=call.payer.provider,
            models=(outcome.model_served, call.payer.model),
            usage=outcome.usage,
            at=call.started_at,
        )


def _existing(model: Any, pk: Any) -> Any:
    return pk if pk is not None and model._base_manager.filter(pk=pk).exists() else None


def receipt(record: UsageRecord) -> Receipt:
    return Receipt(
        call_id=str(record.id),
        provider=record.provider,
        model=record.model_served or record.model,
        paid_by=record.paid_by,
        simulated=record.is_simulated,
        credential_id=str(record.credential_id) if record.credential_id else None,
        input_tokens=record.input_tokens,
        output_tokens=record.output_tokens,
        cost_usd=None if record.cost_usd is None else f"{record.cost_usd:f}",
        latency_ms=round(record.latency_ms, 1),
        ttft_ms=None if record.ttft_ms is None else round(record.ttft_ms, 1),
        usage_source=record.usage_source,
        warnings=record.warnings,
    )


def estimated_tokens(characters: int) -> int:
    return math.ceil(characters / CHARACTERS_PER_TOKEN)
