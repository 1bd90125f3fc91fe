"""Settling: every provider call becomes one row, also when it failed or was cut off."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from django.db import transaction
from django.utils import timezone
from structlog.contextvars import bind_contextvars

from credentials.lifecycle import note_use
from providers.vocabulary import Usage
from usage import budgets
from usage.models import Status, Surface, UsageRecord, UsageSource
from usage.prices import FREE, price_of
from usage.rates import Hold
from usage.signals import call_settled

CHARACTERS_PER_TOKEN = 4  # the usual rule of thumb for English; only where nothing was reported


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

    def __init__(
        self, caller: Caller, payer: Payer, *, attempt_of: uuid.UUID | None = None
    ) -> None:
        self.id = uuid.uuid4()
        self.attempt_of = attempt_of
        self.caller = caller
        self.payer = payer
        self.operation = "chat"  # or embeddings, count_tokens, list_models
        self.retries = 0
        self.warnings: tuple[str, ...] = ()  # of soft budgets, said when it was admitted
        self.hold: Hold | None = None  # what admission took of its rate limits
        self._started_at = timezone.now()
        self.start = perf_counter()
        self._first: float | None = None
        self._end: float | None = None

    def begin(self) -> None:
        """Starts the clock anew: what came before was our own work, or an earlier try. From here
        on log lines of this task name the call."""
        bind_contextvars(call_id=str(self.id))
        self._started_at = timezone.now()
        self.start = perf_counter()

    def earlier_try(self) -> OpenCall:
        """The try that has just failed, to be settled as a call of its own; this one goes on."""
        earlier = OpenCall(self.caller, self.payer, attempt_of=self.id)
        earlier._started_at, earlier.start = self._started_at, self.start
        earlier.stop()
        self.retries += 1
        return earlier

    def first_token(self) -> None:
        """Call it at every token: only the first one counts."""
        if self._first is None:
            self._first = perf_counter()

    def stop(self) -> None:
        """Stops the clock: the answer is complete or has failed."""
        self._end = perf_counter()

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
        """Writes the row and, in one transaction with it, charges the budgets. Latency runs until
        `stop()`, or until now if that was not called. `is_free` says that no provider takes money
        for such a call.

        The credential learns how it went too: `error_code` and `reason` (a sentence) may put it
        into quarantine.
        """
        if self.hold:
            self.hold.settle(usage.input_tokens + usage.output_tokens)
        end = self._end or perf_counter()
        latency = end - self.start
        payer = self.payer
        price = (
            FREE
            if is_free
            else price_of(
                provider=payer.provider,
                models=(model_served, payer.model),
                usage=usage,
                at=self._started_at,
            )
        )
        row = UsageRecord(
            id=self.id,
            attempt_of=self.attempt_of,
            user_id=self.caller.user_id,
            access_token_id=self.caller.access_token_id,
            session_id=self.caller.session_id,
            surface=self.caller.surface,
            credential_id=payer.credential_id,
            provider=payer.provider,
            model=payer.model[:128],
            model_served=model_served[:128],
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            service_tier=usage.service_tier,
            usage_source=usage_source,
            cost_usd=price.cost,
            unit_prices=price.units,
            price_source=price.source,
            latency_ms=latency * 1000,
            ttft_ms=None if self._first is None else (self._first - self.start) * 1000,
            status=status,
            error_code=error_code,
            retries=self.retries,
            paid_by=payer.paid_by,
            is_simulated=payer.is_simulated,
            request_id=request_id[:128],
        )
        row.warnings = self.warnings
        with transaction.atomic():
            row.save(force_insert=True)
            budgets.charge(row)
        if payer.credential_id and status != Status.CANCELLED:
            note_use(payer.credential_id, error_code, reason)
        lag = perf_counter() - end
        call_settled.send_robust(OpenCall, record=row, operation=self.operation, lag=lag)
        return row


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
