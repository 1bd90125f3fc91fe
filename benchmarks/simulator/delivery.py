"""Lets one planned answer out: headers at once, each token at its deadline, with its faults."""

import asyncio

from benchmarks.simulator.clock import clock
from benchmarks.simulator.dialects.base import AT_ONCE, Dialect, Generation
from benchmarks.simulator.faults import SLOW_MS
from benchmarks.simulator.log import Entry
from benchmarks.simulator.plan import schedule
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.prompt import Answer
from benchmarks.simulator.settings import Behaviour
from benchmarks.simulator.shapes import encode
from benchmarks.simulator.wire import ClientGone, Exchange

GARBAGE = b'{"id":"sim-garbage","choices":[{"mess'


class Delivery:
    """One response on its way to the client, in the voice of one dialect."""

    def __init__(self, exchange: Exchange, dialect: Dialect, entry: Entry) -> None:
        self.exchange, self.dialect, self.entry = exchange, dialect, entry
        self.key = ""

    def know(self, key: str) -> None:
        self.key = key
        self.entry.set_key(key)

    async def hang(self) -> None:
        """Never answers; ends when the client gives up."""
        await self.exchange.gone
        raise ClientGone

    async def refuse(self, problem: Problem) -> None:
        """An error in the provider's own words."""
        problem.facts.setdefault("method", self.exchange.method)
        problem.facts.setdefault("path", self.entry.path)
        self.entry.outcome = f"error: {problem.kind}"
        reply = self.dialect.error(problem, self.key)
        await self._send_whole(reply, encode(reply.body))

    async def reply(self, reply: Reply, behaviour: Behaviour, fault: str) -> None:
        """A list of models, a count of tokens, an embedding: at once unless the fault is slow."""
        times = [SLOW_MS / 1e3 if fault == "slow" else 0.0]
        await self._whole(reply, times, 0, fault)

    async def generate(
        self, action: Generation, answer: Answer, behaviour: Behaviour, fault: str
    ) -> None:
        """The answer, streamed or whole."""
        times = schedule(answer, behaviour)
        if fault == "slow":
            times = [moment + SLOW_MS / 1e3 - times[0] for moment in times]
        self.entry.input_tokens, self.entry.output_tokens = answer.input, answer.output
        if action.prompt.stream:
            await self._stream(action, answer, times, behaviour.chunk, fault)
        elif fault == "errorevent":
            raise Problem("overloaded", retry_after=behaviour.retry_after)
        else:
            await self._whole(Reply(action.voice.whole(answer)), times, answer.output, fault)

    async def _whole(self, reply: Reply, times: list[float], tokens: int, fault: str) -> None:
        data = GARBAGE if fault == "garbage" else encode(reply.body)
        with clock() as ticking:
            if not await ticking.until(self.exchange.started + times[-1], self.exchange.gone):
                raise ClientGone
        truth = _truth(times, tokens)
        if fault == "drop":
            await self._start(reply.status, {"content-length": str(len(data)), **truth})
            await self._break(data[: len(data) // 2])
        else:
            self.entry.outcome = "garbage" if fault == "garbage" else "ok"
            await self._send_whole(reply, data, truth)

    async def _stream(
        self, action: Generation, answer: Answer, times: list[float], chunk: int, fault: str
    ) -> None:
        truth = _truth(times, answer.output)
        await self._start(200, {"cache-control": "no-cache", **truth}, action.stream_type)
        fails_at = (
            max(answer.output // 2, 1) if fault in ("drop", "errorevent", "garbage") else None
        )
        start, gone = self.exchange.started, self.exchange.gone
        with clock() as ticking:
            for index, data in action.voice.frames(answer, chunk):
                moment = start + times[min(index, len(times) - 1)]
                if index > AT_ONCE and not await ticking.until(moment, gone):
                    raise ClientGone
                if fails_at is not None and index >= fails_at:
                    break
                await self.exchange.write(data)
        await self._finish(action, fault)

    async def _finish(self, action: Generation, fault: str) -> None:
        if fault == "drop":
            await self._break(b"")
        elif fault == "errorevent":
            self.entry.outcome = "error event"
            await self.exchange.write(action.voice.error_frame(), more=False)
        elif fault == "garbage":
            self.entry.outcome = "garbage"
            await self.exchange.write(action.voice.garbage_frame(), more=False)
        else:
            self.entry.outcome = "ok"
            await self.exchange.write(b"", more=False)

    async def _break(self, data: bytes) -> None:
        self.entry.outcome = "dropped"
        if data:
            await self.exchange.write(data)
        await asyncio.sleep(0)
        await self.exchange.drop()

    async def _send_whole(
        self, reply: Reply, data: bytes, truth: dict[str, str] | None = None
    ) -> None:
        headers = {"content-length": str(len(data)), **reply.headers, **(truth or {})}
        await self._start(reply.status, headers, reply.content_type)
        await self.exchange.write(data, more=False)

    async def _start(
        self, status: int, headers: dict[str, str], content_type: str = "application/json"
    ) -> None:
        usual = {"content-type": content_type, "x-simulated": "true", **self.dialect.headers("")}
        await self.exchange.start(status, usual | headers)


def _truth(times: list[float], tokens: int) -> dict[str, str]:
    """The planned figures, for whoever compares them with measured ones."""
    return {
        "x-sim-ttft-ms": f"{times[0] * 1e3:.3f}",
        "x-sim-latency-ms": f"{times[-1] * 1e3:.3f}",
        "x-sim-tokens": str(tokens),
    }
