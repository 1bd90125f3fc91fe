"""The gateway: a raw ASGI app at /v1/… and /v1beta/…, beside Django and not behind it.

A request is routed, its token read, its key selected, the call admitted; then `gateway.relay`
takes over, or `gateway.translated` for a model of another dialect. Whatever is refused on the way
is said in the dialect of the client's SDK, so that its own exception classes fire; nothing has
been sent to a provider then, and nothing is in the ledger.
"""

from __future__ import annotations

import json
import logging
import math
from functools import partial
from typing import Any

from django.db import InterfaceError, OperationalError

from agents.clients import SelectionError
from credentials.errors import CredentialError
from credentials.vault import Unreadable
from gateway.answers import Answers
from gateway.asked import Asked, asking_for_usage, naming, naming_inside, read_request
from gateway.catalogue import reachable, shown
from gateway.chain import Chain, translations
from gateway.dialects import access_token, error_bytes, passing_query
from gateway.errors import ClientGone, DatabaseAway, GatewayError, KeyInAddress
from gateway.exchange import Exchange, Receive, Scope, Send
from gateway.options import holding, read_options
from gateway.orders import Order
from gateway.rate_headers import rate_headers
from gateway.relay import Relay
from gateway.routes import Route, model_asked_for, route, spoken
from gateway.selection import Chosen, admitted, guest_of, in_database, known_guest
from gateway.translated import Translated
from providers import registry
from providers.errors import ProviderError
from providers.redaction import redact
from usage.admission import NotAdmitted, withdraw

logger = logging.getLogger(__name__)

PREFIXES = ("/v1/", "/v1beta/")

_REFUSALS = (
    GatewayError,
    SelectionError,
    CredentialError,
    Unreadable,
    registry.UnknownProvider,
    NotAdmitted,
    ProviderError,
)
# The SDKs take a 409 for a lock that will be free in a moment, and try again; a spent budget they
# know as a rate limit, but it will not be free in a moment either.
_STATUSES = {409: 403, 402: 429}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serves one HTTP request."""
    exchange = Exchange(scope, receive, send)
    with exchange.patience:
        try:
            if exchange.method == "GET":
                await _show_models(exchange, model_asked_for(exchange.path))
            else:
                await _serve(exchange)
        except ClientGone:
            return
        except _REFUSALS as error:
            await _refuse(exchange, error)
        except (OperationalError, InterfaceError) as error:
            logger.error("The database can't be reached: %s", type(error).__name__)
            if exchange.has_begun:
                raise
            await _refuse(exchange, DatabaseAway())


async def _show_models(exchange: Exchange, model: str) -> None:
    if any(name == "key" for name, _ in exchange.query):
        raise KeyInAddress
    guest = await guest_of(access_token(exchange.headers))
    dialect = spoken(exchange.path, exchange.headers)
    found = await exchange.while_connected(reachable(guest, dialect))
    body = shown(dialect, found, model)
    headers = [("content-type", "application/json")]
    await exchange.answer(200, headers, json.dumps(body).encode())


async def _serve(exchange: Exchange) -> None:
    """The steps before a call, and the call. The token comes before the body: strangers send none
    to us."""
    if exchange.query and any(name == "key" for name, _ in exchange.query):
        raise KeyInAddress
    where = route(exchange.method, exchange.path)
    token = access_token(exchange.headers)
    guest = known_guest(token) or await guest_of(token)
    options = read_options(exchange.headers)
    asked = read_request(where, await exchange.body())
    payer = await in_database(holding, guest, options.credential) if options.credential else guest
    may_be_kept = guest.cache_seconds and options.is_plain and not asked.stream
    if may_be_kept and await Answers(exchange, where, payer, asked).given():
        return
    chosen, call = await admitted(payer, where, asked)
    if not chosen.speaks(where.dialect):
        rest = translations(guest, where, asked, options.fallback)
        await Translated(exchange, where.dialect, asked, chosen.selection, call, rest).run()
        return
    call.begin()
    order_of = partial(_order, exchange, where)
    try:
        order = order_of(asked, chosen)
    except BaseException:
        await in_database(withdraw, call)
        raise
    if options.tries_again:
        await Chain(exchange, where, guest, asked, options, call, order_of).run(chosen, order)
    else:
        await Relay(exchange, order, call).run()


def _order(exchange: Exchange, where: Route, asked: Asked, chosen: Chosen) -> Order:
    if asked.model != chosen.model:
        asked = (naming_inside if where.model else naming)(asked, chosen.model)
        where = where.naming(chosen.model)
    if asked.stream and where.does.reports_if_told and chosen.tells_usage:
        asked = asking_for_usage(asked)
    return Order(
        dialect=where.dialect,
        does=where.does,
        asked=asked,
        label=chosen.label,
        url=chosen.base_url + where.path,
        query=passing_query(exchange.query) if exchange.query else [],
        key=chosen.key(),
        seconds=chosen.seconds,
        is_simulated=chosen.is_simulated,
        is_trusted=chosen.is_trusted,
    )


async def _refuse(exchange: Exchange, error: Any) -> None:
    """Any of `_REFUSALS`: each has a status, a code and a sentence."""
    dialect = spoken(exchange.path, exchange.headers)
    status = _STATUSES.get(error.status, error.status)
    wait: float | None = getattr(error, "retry_after", None)
    body = error_bytes(
        dialect, status=status, code=error.code, message=redact(str(error)), retry_after=wait
    )
    headers = [("content-type", "application/json")]
    if wait is not None:
        headers.append(("retry-after", str(math.ceil(wait))))
    if status != error.status:
        headers.append(("x-should-retry", "false"))
    headers += rate_headers(dialect, getattr(error, "remaining", ()))
    await exchange.answer(status, headers, body)
