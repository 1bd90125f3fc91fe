"""The tries of one call of the gateway, where its client asks for more than one: again after a
failure that may pass, then by the models of its fallback chain.

As agents have them (`agents.tries`): never once something has been sent to the client; each try
that another follows has a ledger row of its own; the last one's row is the call's, and its receipt
is the one that the client gets. A key that keeps failing is passed over (`agents.breaker`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from agents.breaker import Suspended, breaker
from agents.clients import NothingSelected, Selection, SelectionError
from agents.tries import Fallback, Plan, wait_before_retry
from credentials.errors import CredentialError
from credentials.vault import Unreadable
from gateway.asked import Asked
from gateway.errors import ClientGone, GatewayError
from gateway.exchange import Exchange
from gateway.options import Options
from gateway.orders import Order, Whole
from gateway.relay import Relay
from gateway.routes import Route
from gateway.selection import Chosen, Guest, choose, in_database
from gateway.translated import Translated, request_of
from providers import registry
from providers.errors import ProviderError
from providers.vocabulary import Usage
from usage.admission import NotAdmitted, readmit, withdraw
from usage.ceiling import ceiling
from usage.ledger import OpenCall
from usage.models import Status, UsageSource

# An entry of a chain that can't be used is passed over.
_UNUSABLE = (
    GatewayError, SelectionError, CredentialError, Unreadable, registry.UnknownProvider,
    NotAdmitted, ProviderError,
)  # fmt: skip
Work = Relay | Translated


class Chain:
    """One call under way, in as many tries as it takes."""

    def __init__(
        self,
        exchange: Exchange,
        where: Route,
        guest: Guest,
        asked: Asked,
        options: Options,
        call: OpenCall,
        order_of: Callable[[Asked, Chosen], Order],
    ) -> None:
        self.exchange, self.where, self.guest, self.asked = exchange, where, guest, asked
        self.call, self.retries, self.order_of = call, options.retries, order_of
        self.rest = iter(options.fallback)
        self.following: Work | None = None

    async def run(self, chosen: Chosen, order: Order) -> None:
        """Answers the client. Raises NotAdmitted and ClientGone."""
        work: Work | None = Attempt(self, chosen, order)
        while work is not None:
            self.following = None
            try:
                await work.run()
            except NotAdmitted as error:  # of a try after the first, where others have failed
                await self._settle(self.call, Status.ERROR, error)
                raise
            work = self.following

    def _attempt(self, chosen: Chosen, retries: int = 0) -> Attempt:
        return Attempt(self, chosen, self.order_of(self.asked, chosen), retries)

    async def goes_on(self, attempt: Attempt, error: ProviderError) -> bool:
        """Whether another try follows the one that has failed with nothing sent to the client;
        then that one has its row."""
        if not error.retryable:
            return False
        wait = None
        if attempt.retries < self.retries and not isinstance(error, Suspended):
            wait = wait_before_retry(error, attempt.retries)
        if wait is None:
            return await self._undisturbed(self._falls_back(error), error)
        await self._undisturbed(self._tries_again(error), error)
        await self._pause(wait)
        self.call.begin()
        self.following = self._attempt(attempt.chosen, attempt.retries + 1)
        return True

    async def _undisturbed(self, step: Coroutine[Any, Any, bool], error: ProviderError) -> bool:
        """What a step between two tries says. Who is cancelled meanwhile leaves after it, and with
        the call's own row written."""
        stepping = asyncio.ensure_future(step)
        try:
            return await asyncio.shield(stepping)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_up(stepping, error))
            raise

    async def _give_up(self, stepping: asyncio.Future[bool], error: ProviderError) -> None:
        if await stepping:  # the failed try has its row
            await self._settle(self.call, Status.CANCELLED, None)
        else:
            await self._settle(self.call, Status.ERROR, error)

    async def _tries_again(self, error: ProviderError) -> bool:
        await self._settle_try(error)
        return True

    async def _falls_back(self, error: ProviderError) -> bool:
        made = await in_database(self._next)
        if made is None:
            return False
        self.following, selection = made
        if not isinstance(error, Suspended):  # then nothing was sent
            await self._settle_try(error)
        self.call.begin()
        self.call.charge_to(selection.payer)
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            await self.exchange.while_connected(asyncio.sleep(seconds))
        except (ClientGone, asyncio.CancelledError):
            await asyncio.shield(self._settle(self.call, Status.CANCELLED, None))
            raise

    def _next(self) -> tuple[Work, Selection] | None:
        for model in self.rest:
            with suppress(*_UNUSABLE):
                chosen = choose(self.guest, self.where, model)
                return self._made(chosen), chosen.selection
        return None

    def _made(self, chosen: Chosen) -> Work:
        """A try on another key or model, which its budgets have room for."""
        if not chosen.speaks(self.where.dialect):
            fallback = translations(self.guest, self.where, self.asked, self.rest)
            made = Translated(
                self.exchange, self.where.dialect, self.asked, chosen.selection, self.call, fallback
            )
            withdraw(self.call)  # it is admitted on the path of everybody's calls
            return made
        attempt = self._attempt(chosen)
        before = self.call.payer
        self.call.charge_to(chosen.selection.payer)
        try:
            readmit(self.call, ceiling(self.asked.parsed))
        finally:
            self.call.charge_to(before)  # the try before has its row to come
        return attempt

    async def _settle_try(self, error: ProviderError) -> None:
        await self._settle(self.call.earlier_try(), Status.ERROR, error)

    async def _settle(
        self, call: OpenCall, status: Status, error: ProviderError | NotAdmitted | None
    ) -> None:
        await in_database(
            call.settle,
            status=status,
            usage=Usage(),
            usage_source=UsageSource.ESTIMATED,
            error_code=error.code if error else "",
            reason=str(error) if error else "",
            request_id=getattr(error, "request_id", ""),
        )


class Attempt(Relay):
    """A relayed try that lets another one follow where it fails with nothing sent."""

    def __init__(self, chain: Chain, chosen: Chosen, order: Order, retries: int = 0) -> None:
        super().__init__(chain.exchange, order, chain.call)
        self.chain, self.chosen, self.retries = chain, chosen, retries

    async def _fetch(self) -> Whole | None:
        self.call.stop()  # the clock of a try before, where this one is not made
        breaker.check(self.chosen.selection)
        found = await super()._fetch()
        if found is None or found.status < 400:
            breaker.worked(self.chosen.selection)
        return found

    async def _refuse(self, whole: Whole) -> None:
        if not await self._hands_on(self._refusal(whole)):
            await super()._refuse(whole)

    async def _fail(self, error: ProviderError) -> None:
        if not await self._hands_on(error):
            await super()._fail(error)

    async def _hands_on(self, error: ProviderError) -> bool:
        if not isinstance(error, Suspended):
            breaker.failed(self.chosen.selection, error)
        return not self.begun and await self.chain.goes_on(self, error)


def translations(guest: Guest, where: Route, asked: Asked, models: Iterable[str]) -> list[Fallback]:
    """The rest of a chain for a call that is translated, as `agents.tries` takes it."""
    return [partial(_translation, guest, where, asked, model) for model in models]


def _translation(guest: Guest, where: Route, asked: Asked, model: str) -> Plan:
    try:
        selection = choose(guest, where, model).selection
    except (GatewayError, Unreadable, ProviderError):  # the others are passed over there
        raise NothingSelected(provider="usable") from None
    return Plan(selection, request_of(where.dialect, asked, selection.model))
