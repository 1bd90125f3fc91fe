"""The relay: the client's bytes to the provider, the provider's bytes back, one ledger row.

The row is durable before the client can know that the answer is over: a whole answer leaves after
it, and so does the end of a stream. It is written too when the provider fails, the stream breaks
or the client goes away.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from time import perf_counter

import httpcore2

from gateway.arrival import Answer, ConnectionTrouble
from gateway.asked import prompt_characters
from gateway.deadlines import Deadline
from gateway.dialects import error_bytes
from gateway.errors import ClientGone
from gateway.exchange import STREAM_HEADERS, Exchange, Head
from gateway.orders import RATE_LIMITS, Order, Pairs, Whole, passing_headers
from gateway.rate_headers import rate_headers
from gateway.readers import Reading
from gateway.receipts import overhead_header, receipt_headers
from gateway.taps import StreamTap, read_whole
from gateway.upstream import NotConnected, Upstream, held_upstream, upstream, whole
from providers.dial import Refused
from providers.errors import (
    BadAnswer,
    CallTimeout,
    ConnectionFailed,
    DestinationRefused,
    ProviderError,
    StreamBroken,
)
from providers.http import UnreadableAnswer
from providers.redaction import redact
from providers.translation import read_failure
from usage.group_commit import group_commit
from usage.ledger import Closed, OpenCall, Outcome
from usage.models import Status, UsageRecord

STREAM_SECONDS = 3600.0  # for all of a stream
_LINGER_SECONDS = 1.0
_TIMEOUTS = (TimeoutError, httpcore2.TimeoutException)
_TROUBLE = (
    *_TIMEOUTS,
    ConnectionTrouble,
    httpcore2.NetworkError,
    Refused,
    UnreadableAnswer,
)


class Relay:
    """One call under way."""

    def __init__(self, exchange: Exchange, order: Order, call: OpenCall) -> None:
        self.exchange, self.order, self.call = exchange, order, call
        self.begun = self.has_text = self.lingers = False
        self.waiting = b""  # for the client to take what was written before
        self.request_id = ""
        self.provider_seconds = 0.0
        self.tap: StreamTap | None = None
        self.reading = Reading()

    async def run(self) -> None:
        """Answers the client and settles. Raises CancelledError, and what is a mistake of ours:
        not even then is a call without its row."""
        try:
            await self._serve()
        except BaseException:
            if not self.call.is_closed:
                await self._settle(Status.ERROR)
            raise

    async def _serve(self) -> None:
        try:
            whole = await self.exchange.while_connected(self._fetch(), self.order.seconds)
        except ProviderError as failure:
            await self._fail(failure)
        except TimeoutError:
            await self._fail(CallTimeout(self.order.label))
        except (ClientGone, OSError):  # OSError: some servers' `send` says so that way
            await self._settle_as_read()
        except asyncio.CancelledError:
            await self._settle_as_read()
            raise
        else:
            await (self._answer(whole) if whole else self._finish())

    async def _fetch(self) -> Whole | None:
        """The provider's answer, or None once a stream has been passed on to its end.

        Raised outside of the `except`, so that no exception that knows the request (and with it
        the key) hangs on ours.
        """
        try:
            if held := held_upstream(self.exchange.patience.loop):
                return await self._receive(held)
            async with upstream() as shared:
                return await self._receive(shared)
        except _TROUBLE as error:
            if self.reading.closed:
                return None
            failure = self._failure(error)
        finally:
            self.call.stop()
        raise failure

    async def _receive(self, shared: Upstream) -> Whole | None:
        sent = perf_counter()
        response = await self.order.send(shared, self.exchange.headers)
        try:
            headers = response.headers
            request_id = headers.get(b"x-request-id") or headers.get(b"request-id") or b""
            self.request_id = request_id.decode("latin-1")
            is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
            if response.status != 200 or not is_stream:
                body = await whole(response)
                self.provider_seconds = perf_counter() - sent
                return Whole(response.status, passing_headers(headers), body)
            await self._pass_on(response)
            return None
        finally:
            response.close()

    async def _pass_on(self, response: Answer) -> None:
        """All of a stream but what the tap holds back."""
        self.exchange.patience.allow(STREAM_SECONDS)
        order = self.order
        tap = self.tap = StreamTap(
            order.does.read, order.key, order.asked.hides_usage, self.reading
        )
        # What came with the head leaves with it, in one packet.
        first = self._taken(tap, await response.read()) if response.has_more else b""
        theirs = passing_headers(response.headers)
        headers = [*theirs, *STREAM_HEADERS, *receipt_headers(self.call), *self._limits(theirs)]
        await self.exchange.start(200, headers, first)
        self.begun = True
        if not self.reading.closed:
            await self._pass_pieces(tap, response)
        # A closed stream is read to the end of its connection, which can be used again then, though
        # not for long.
        if response.has_more or not response.has_ended:
            self.lingers = True
            with suppress(TimeoutError), Deadline(_LINGER_SECONDS):
                await self._pass_pieces(tap, response)

    async def _pass_pieces(self, tap: StreamTap, response: Answer) -> None:
        """Until the stream is closed, or if the call `lingers`, has ended."""
        sink = partial(self._pass, tap)
        while response.has_more or not response.has_ended:
            await response.pour(sink)
            if waiting := self.waiting:
                self.waiting = b""
                await self.exchange.write(waiting)
            if self.reading.closed and not self.lingers:
                return

    def _pass(self, tap: StreamTap, chunk: bytes) -> bool:
        """Whether more may come at once: not where the client has to take something first."""
        passing = self._taken(tap, chunk)
        if passing and not self.exchange.write_at_once(passing):
            self.waiting = passing
            return False
        return self.lingers or not self.reading.closed

    def _taken(self, tap: StreamTap, chunk: bytes) -> bytes:
        """What is to be passed on of a piece."""
        passing = tap.feed(chunk)
        if self.reading.characters and not self.has_text:
            self.has_text = True
            self.call.first_token()
        return passing

    def _failure(self, error: Exception) -> ProviderError:
        label = self.order.label
        if isinstance(error, Refused):
            return DestinationRefused(label)
        if isinstance(error, UnreadableAnswer):
            return BadAnswer(label, detail=str(error))
        if isinstance(error, _TIMEOUTS):
            return CallTimeout(label)
        # The words of others may hold addresses of our network.
        detail = str(error) if isinstance(error, ConnectionTrouble) else str(NotConnected())
        return (StreamBroken if self.begun else ConnectionFailed)(label, detail=detail)

    async def _finish(self) -> None:
        """Ends a stream that the provider has ended."""
        if self.reading.error is None and not self.reading.ended:
            await self._fail(StreamBroken(self.order.label, detail="it stopped in the middle"))
        else:
            await self._settle_as_read()
            await self.exchange.end(self.tap.rest() if self.tap else b"")

    async def _answer(self, whole: Whole) -> None:
        reading = read_whole(self.order.does.read, whole.body)
        if whole.status >= 400 or (reading and reading.error):
            await self._refuse(whole)
        elif whole.status != 200 or reading is None:
            await self._fail(BadAnswer(self.order.label))
        else:
            self.reading = reading
            closed, row = self._close(Status.OK)
            made = closed.made
            try:
                if group_commit().sends_next(self.exchange.patience.loop):
                    await asyncio.sleep(0)  # so that the row is on its way while the head is made
                receipt = receipt_headers(self.call, made.record if made else await row)
                head = Head([*whole.headers, *receipt, *self._limits(whole.headers)])
                await row
            except BaseException:
                row.cancel()  # nobody waits any more; it is written all the same
                raise
            head.add(*overhead_header(self.exchange.seconds() - self.provider_seconds))
            await self.exchange.answer(200, head, whole.body)

    async def _refuse(self, whole: Whole) -> None:
        """The provider's own words, with the key taken out should they repeat it."""
        await self._settle(Status.ERROR, self._refusal(whole))
        text = whole.body.decode("utf-8", "replace")
        body = redact(text, self.order.key).encode()
        await self.exchange.answer(
            whole.status, [*whole.headers, *receipt_headers(self.call)], body
        )

    def _refusal(self, whole: Whole) -> ProviderError:
        text = whole.body.decode("utf-8", "replace")
        failure = read_failure(_json(text), whole.status, dict(whole.headers))
        return failure.error(self.order.label, self.order.key)

    async def _fail(self, error: ProviderError) -> None:
        """Says in the client's dialect that there is no answer, or no more of it."""
        await self._settle(Status.ERROR, error)
        body = error_bytes(
            self.order.dialect,
            status=error.status,
            code=error.code,
            message=str(error),
            retry_after=error.retry_after,
        )
        if self.begun:
            await self.exchange.end(self.order.dialect.error_frame(body))
        else:
            headers = [("content-type", "application/json"), *receipt_headers(self.call)]
            await self.exchange.answer(error.status, headers, body)

    async def _settle_as_read(self) -> None:
        """By what has arrived until the end, or until the client left, whichever came first."""
        if self.reading.error is not None:
            error = read_failure(self.reading.error).error(self.order.label, self.order.key)
            await self._settle(Status.ERROR, error)
        else:
            await self._settle(Status.OK if self.reading.ended else Status.CANCELLED)

    async def _settle(self, status: Status, error: ProviderError | None = None) -> None:
        """Returns once the row is durable."""
        _, row = self._close(status, error)
        await row

    def _close(
        self, status: Status, error: ProviderError | None = None
    ) -> tuple[Closed, asyncio.Future[UsageRecord]]:
        """The call that is over, and its row for once it is durable. That is written whatever
        happens to who waits for it."""
        usage, source = self.reading.tokens(lambda: prompt_characters(self.order.asked.body))
        outcome = Outcome(
            status=status,
            usage=usage,
            usage_source=source,
            error_code=error.code if error else "internal_error" if status == Status.ERROR else "",
            reason=str(error) if error else "",
            model_served=self.reading.model,
            request_id=self.request_id,
            is_free=self.order.does.is_free,
        )
        closed = self.call.close(outcome)
        return closed, group_commit().put(closed, self.exchange.patience.loop)

    def _limits(self, theirs: Pairs) -> Pairs:
        """Our own rate limits, where the provider has said nothing of its own."""
        if self.call.hold is None:
            return []
        for name, _ in theirs:
            if name.startswith(RATE_LIMITS):
                return []
        return rate_headers(self.order.dialect, self.call.hold.remaining)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
