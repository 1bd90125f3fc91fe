"""Answers that are given again to the very same request, for access tokens that ask for it.

Whole answers only, and small ones; streams pass by. An answer belongs to one user, model, key and
request, to the byte: its place in the cache is a hash of all that, and it is sealed for that place
(`credentials.vault`), so that who reads the cache reads nothing. The request is not kept.

A key that may not be used any more gives no old answers either: it is selected as for any call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from django.core.cache import caches

from credentials.vault import Unreadable, ring
from gateway.asked import Asked
from gateway.exchange import Exchange
from gateway.receipts import receipt_headers
from gateway.routes import Route
from gateway.selection import Guest, choose, in_database
from providers.vocabulary import Usage
from usage.accounts import Account
from usage.admission import admit
from usage.ledger import OpenCall
from usage.models import Status, UsageRecord, UsageSource

MOST_BYTES = 64 * 1024
CACHE = "answers"
_CONTEXT = "gateway.answers"
_HIT = ("x-byom-cache", "hit")


@dataclass(frozen=True, slots=True)
class Hit:
    """A kept answer, and the call that it has become: free of charge, and in the ledger."""

    content_type: str
    body: str
    call: OpenCall
    record: UsageRecord


class Answers:
    """The cache as one request sees it."""

    def __init__(self, exchange: Exchange, where: Route, guest: Guest, asked: Asked) -> None:
        self.exchange, self.where, self.guest, self.asked = exchange, where, guest, asked
        self.place = ""

    async def given(self) -> bool:
        """Answers the client from the cache, if that can be; else a good answer to come will be
        kept. Raises what `gateway.selection.admitted` raises."""
        hit = await in_database(self._find)
        if hit is None:
            self.exchange.keeps = self._keep
            return False
        receipt = receipt_headers(hit.call, hit.record, self.exchange.seconds())
        headers = [("content-type", hit.content_type), _HIT, *receipt]
        await self.exchange.answer(200, headers, hit.body.encode())
        return True

    def _find(self) -> Hit | None:
        selection = choose(self.guest, self.where, self.asked.model).selection
        payer = selection.payer
        headers = self.exchange.headers
        asked = [
            self.guest.user.pk, payer.provider, payer.model, payer.credential_id,
            selection.base_url, self.where.path, sorted(self.exchange.query),
            sorted((n, v) for n, v in headers.items() if self._matters(n, payer.is_simulated)),
            hashlib.sha256(self.asked.body).hexdigest(),
        ]  # fmt: skip
        self.place = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
        kept = caches[CACHE].get(self.place)
        opened = self._opened(kept) if isinstance(kept, str) else None
        if opened is None:
            return None
        call = OpenCall(Account(self.guest.caller, payer))
        admit(call, None)
        call.begin()
        call.stop()
        content_type, body, served = opened
        return Hit(content_type, body, call, _booked(call, served))

    def _matters(self, name: str, is_simulated: bool) -> bool:
        """Of the headers, those that go on and may change an answer."""
        if name.startswith("x-sim-"):
            return is_simulated
        return name.endswith(("-beta", "-version"))

    def _opened(self, sealed: str) -> tuple[str, str, str] | None:
        """None where it was sealed with a key that is gone."""
        try:
            content_type, body, model = json.loads(ring().open(sealed, self._binding()))
        except Unreadable:
            return None
        return content_type, body, model

    def _binding(self) -> tuple[str, str, str]:
        return _CONTEXT, str(self.guest.user.pk), self.place

    async def _keep(self, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        told = dict(headers)
        kind = told.get("content-type", "application/json")
        if len(body) > MOST_BYTES:
            return
        text = json.dumps([kind, body.decode("utf-8", "replace"), told.get("x-byom-model", "")])
        await in_database(self._store, text)

    def _store(self, text: str) -> None:
        sealed = ring().seal(text, self._binding())
        caches[CACHE].set(self.place, sealed, self.guest.cache_seconds)


def _booked(call: OpenCall, served: str) -> UsageRecord:
    return call.settle(
        status=Status.OK,
        usage=Usage(),
        usage_source=UsageSource.REPORTED,
        model_served=served,
        is_free=True,
    )
