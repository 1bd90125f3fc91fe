"""The tries of one call: again after a failure that may pass, then by the fallback chain.

Never once something has been streamed. Each try that another follows gets a ledger row of its
own; the last one's row is the call's, settled by `agents.calls`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

import httpx2

from agents.breaker import Suspended, breaker
from agents.clients import Selection, SelectionError
from agents.database import in_database
from credentials.errors import CredentialError
from providers import registry
from providers.capabilities import lacking
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, ChatResult, Delta, Usage
from usage.admission import NotAdmitted, readmit
from usage.ceiling import ceiling
from usage.ledger import OpenCall
from usage.models import Status, UsageSource

RETRY_SECONDS = (1.0, 2.0, 4.0)
LONGEST_WAIT = 20.0  # a person is waiting: a longer Retry-After is told instead of slept


@dataclass(frozen=True, slots=True)
class Plan:
    """What a try takes: whose key, and what is asked."""

    selection: Selection
    request: ChatRequest

    def most(self) -> Usage:
        """The most that it can use; `extra` may raise the limit of the answer."""
        request = self.request
        said = [asdict(message) for message in request.messages]
        tools = [asdict(tool) for tool in request.tools]
        body = {**request.extra, "said": said, "system": request.system, "tools": tools}
        return ceiling({**body, "schema": request.response_schema}, max_tokens=request.max_tokens)


# Made only when its turn comes, as it reads the database. Raises what `select` raises.
Fallback = Callable[[], Plan]


async def tries(
    *,
    entry: OpenCall,
    http: httpx2.AsyncClient,
    plan: Plan,
    fallback: Sequence[Fallback],
    max_retries: int,
) -> AsyncGenerator[Delta | ChatResult]:
    """What the first plan that works streams. Raises the ProviderError of the last one tried.

    `max_retries` are for each plan. With 0 the breaker has no say either.
    """
    rest = iter(fallback)
    while True:
        streamed = False
        try:
            async with aclosing(_with_retries(entry, http, plan, max_retries)) as events:
                async for event in events:
                    streamed = True
                    yield event
            return
        except ProviderError as error:
            following = None
            if error.retryable and not streamed:
                following = await in_database(_next, entry, rest)
            if following is None:
                raise
            if not isinstance(error, Suspended):  # then nothing was sent
                await _settle_try(entry, error)
        plan = following
        entry.begin()
        entry.charge_to(plan.selection.payer)


async def _with_retries(
    entry: OpenCall, http: httpx2.AsyncClient, plan: Plan, max_retries: int
) -> AsyncGenerator[Delta | ChatResult]:
    if max_retries:
        breaker.check(plan.selection)
    await registry.prepare(plan.selection.provider)
    client, retries = plan.selection.client(http), 0
    while True:
        streamed = False
        try:
            async with aclosing(client.stream(plan.request)) as events:
                async for event in events:
                    streamed = True
                    yield event
            breaker.worked(plan.selection)
            return
        except ProviderError as error:
            breaker.failed(plan.selection, error)
            wait = wait_before_retry(error, retries)
            if streamed or wait is None or retries >= max_retries:
                raise
            await _settle_try(entry, error)
        retries += 1
        await asyncio.sleep(wait)
        entry.begin()


def wait_before_retry(error: ProviderError, retries: int) -> float | None:
    """Seconds to wait, or None when there is no point in another try."""
    if not error.retryable or retries >= len(RETRY_SECONDS):
        return None
    wait = error.retry_after
    if wait is None:
        wait = RETRY_SECONDS[retries] * random.uniform(0.75, 1.25)
    return wait if wait <= LONGEST_WAIT else None


def _next(entry: OpenCall, rest: Iterator[Fallback]) -> Plan | None:
    """The next plan of the chain that can be carried out. One whose key can't be used, whose
    provider can't do what is asked, or whose budget has no room, is passed over."""
    for fallback in rest:
        try:
            plan = fallback()
            if lacking(plan.request, registry.get(plan.selection.provider).capabilities):
                continue
            _readmit(entry, plan)
        except (SelectionError, CredentialError, registry.UnknownProvider, NotAdmitted):
            continue
        return plan
    return None


def _readmit(entry: OpenCall, plan: Plan) -> None:
    """By the plan's payer, which is not yet the call's: the try before has its row to come."""
    before = entry.payer
    entry.charge_to(plan.selection.payer)
    try:
        readmit(entry, plan.most())
    finally:
        entry.charge_to(before)


async def _settle_try(entry: OpenCall, error: ProviderError) -> None:
    await in_database(
        entry.earlier_try().settle,
        status=Status.ERROR,
        usage=Usage(),
        usage_source=UsageSource.ESTIMATED,
        error_code=error.code,
        reason=str(error),
        request_id=error.request_id,
    )
