"""The ASGI app: finds the dialect, checks the key, and lets the answer out at its exact times.

Mount it anywhere: `create_app(prefix="/simulator")`, or under an outer app's `root_path`.
"""

import asyncio

from benchmarks.simulator import pages
from benchmarks.simulator.delivery import Delivery
from benchmarks.simulator.dialects import anthropic, google, openai
from benchmarks.simulator.dialects.base import Dialect, Generation, Request
from benchmarks.simulator.faults import AT_GENERATION, REFUSALS, Flaky, fault_of, is_good
from benchmarks.simulator.log import Entry, Log, new_log
from benchmarks.simulator.plan import plan
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.settings import BadHeader, Behaviour, SimulatorSettings
from benchmarks.simulator.shapes import BadRequest
from benchmarks.simulator.wire import ClientGone, Exchange, Receive, Scope, Send, TooLarge

BASES: tuple[tuple[str, Dialect], ...] = (
    ("/openai/v1", openai.DIALECT),
    ("/anthropic", anthropic.DIALECT),
    ("/google", google.DIALECT),
)


class SimulatorApp:
    """The simulator. `log` has an Entry for each request to a dialect, the newest last."""

    def __init__(self, settings: SimulatorSettings, prefix: str) -> None:
        self.settings, self.prefix = settings, prefix.rstrip("/")
        self.log: Log = new_log()
        self.flaky = Flaky()
        self.active: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            exchange = Exchange(scope, receive, send)
            self.active.add(exchange)
            try:
                await self._serve(exchange)
            finally:
                self.active.discard(exchange)
        else:
            await send({"type": "websocket.close"})

    def abandon(self) -> None:
        """Ends all exchanges at once, as if their clients had gone. For a quick shutdown."""
        for exchange in self.active:
            exchange.leave()

    async def _serve(self, exchange: Exchange) -> None:
        path = self._own_path(exchange.scope)
        for base, dialect in BASES:
            if path == base or path.startswith(base + "/"):
                await self._speak(exchange, dialect, path.removeprefix(base))
                return
        await pages.serve(self, exchange, path)

    def _own_path(self, scope: Scope) -> str:
        path: str = scope["path"]
        for front in (str(scope.get("root_path", "")).rstrip("/"), self.prefix):
            if front and (path == front or path.startswith(front + "/")):
                path = path.removeprefix(front)
        return path or "/"

    async def _speak(self, exchange: Exchange, dialect: Dialect, path: str) -> None:
        entry = Entry(exchange.method, exchange.scope["path"], dialect.name)
        entry.header_names = tuple(sorted(exchange.headers))
        self.log.append(entry)
        delivery = Delivery(exchange, dialect, entry)
        try:
            await self._answer_or_refuse(delivery, path)
        except ClientGone:
            entry.outcome, entry.client_disconnected = "client gone", True
            await exchange.drop()
        except asyncio.CancelledError:  # some servers cancel us when the client goes
            entry.outcome, entry.client_disconnected = "cancelled", True
            raise
        finally:
            entry.status = exchange.status

    async def _answer_or_refuse(self, delivery: Delivery, path: str) -> None:
        exchange = delivery.exchange
        try:
            body = await exchange.body()
            request = Request(exchange.method, path, exchange.headers, exchange.query, body)
            async with exchange.watched():
                await self._answer(delivery, request)
        except TooLarge:
            await delivery.refuse(Problem("too_large"))
        except Problem as problem:
            await delivery.refuse(problem)
        except BadRequest as bad:
            await delivery.refuse(_problem_of(bad))

    async def _answer(self, delivery: Delivery, request: Request) -> None:
        """Raises Problem, BadRequest or ClientGone."""
        key = delivery.dialect.key(request.headers, request.query)
        delivery.know(key)
        try:
            behaviour = self.settings.behaviour(delivery.dialect.name, request.headers)
        except BadHeader as bad:
            raise Problem("bad_request", str(bad)) from None
        fault = self._checked(delivery, key, behaviour)
        if fault == "hang":
            await delivery.hang()
        action = delivery.dialect.route(request)
        await self._act(delivery, action, behaviour, fault)

    def _checked(self, delivery: Delivery, key: str, behaviour: Behaviour) -> str:
        """The fault to play, once the key is known to be good. Raises Problem."""
        if not key:
            raise Problem("missing_key")
        if not is_good(key):
            raise Problem("bad_key")
        fault = fault_of(delivery.exchange.headers, key)
        delivery.entry.fault = fault
        if fault in REFUSALS:
            raise Problem(REFUSALS[fault], retry_after=behaviour.retry_after)
        if fault.startswith("flaky-") and self.flaky.fails(key, fault):
            raise Problem("overloaded", retry_after=behaviour.retry_after)
        return fault

    async def _act(
        self, delivery: Delivery, action: Reply | Generation, behaviour: Behaviour, fault: str
    ) -> None:
        if isinstance(action, Reply):
            await delivery.reply(action, behaviour, fault)
            return
        delivery.entry.model, delivery.entry.stream = action.prompt.model, action.prompt.stream
        if fault in AT_GENERATION:
            limit = action.model.context
            raise Problem(AT_GENERATION[fault], limit=limit, tokens=limit + 1)
        answer = plan(action.prompt, behaviour, fault, delivery.dialect.refuses_in_words)
        if answer.input > action.model.context:
            raise Problem("context", limit=action.model.context, tokens=answer.input)
        await delivery.generate(action, answer, behaviour, fault)


def create_app(defaults: SimulatorSettings | None = None, prefix: str = "") -> SimulatorApp:
    """The ASGI app. With a `prefix`, paths may still carry it (a mount that does not strip)."""
    return SimulatorApp(defaults or SimulatorSettings(), prefix)


def _problem_of(bad: BadRequest) -> Problem:
    if bad.message == "could not parse the JSON body":
        return Problem("not_json")
    facts = {"param": bad.param} if bad.param else {}
    return Problem("bad_request", bad.message, **facts)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
