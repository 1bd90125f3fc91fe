"""How exact is this stopwatch, here and now? Asks the simulator, whose truth is known, in the same
way, on the same loop and as many at a time as the calls that are going to be measured."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress

import httpx2

from agents.clients import Selection
from benchmarks.keys import of_simulator
from benchmarks.measure import Heard
from benchmarks.plan import Contender, Plan
from benchmarks.recorder import recording
from benchmarks.sample import Error
from benchmarks.simulation import Timing
from benchmarks.simulator.server import SimulatorProcess
from providers import registry
from providers.errors import ProviderError
from providers.vocabulary import ChatRequest, ChatResult, Message

TIMING = Timing(ttft_ms=30.0, itl_ms=3.0, tokens=12)
CALLS = 12  # of each dialect; a call takes 63 ms
STAGGER_SECONDS = 0.0037  # out of step with the simulator's tokens
NEVER_BEFORE = 1  # a connection's first call pays for connecting, and does not count


async def calibrate(
    plan: Plan, at_a_time: Mapping[int, int], http: httpx2.AsyncClient
) -> dict[int, list[Error]]:
    """Measured minus true, by level; `at_a_time` says how many calls of a level are ours. Nothing
    where the simulator does not start."""
    simulator = SimulatorProcess()
    try:
        await asyncio.to_thread(simulator.start)
    except (RuntimeError, OSError):
        return {}
    try:
        selections = [_simulated(simulator.url, one) for one in _dialects(plan)]
        return {level: await _errors(selections, ours, http) for level, ours in at_a_time.items()}
    finally:
        await asyncio.to_thread(simulator.stop)


def _dialects(plan: Plan) -> Iterable[str]:
    return dict.fromkeys(contender.provider for contender in plan.contenders)


def _simulated(url: str, provider: str) -> Selection:
    model = registry.get(provider).default_model or "sim-1"
    return of_simulator(url)(Contender(provider, model))


async def _errors(
    selections: Sequence[Selection], level: int, http: httpx2.AsyncClient
) -> list[Error]:
    each = max(-(-CALLS * len(selections) // level), len(selections)) + NEVER_BEFORE
    streams = [_one_after_the_other(selections, number, each, http) for number in range(level)]
    found = [error for errors in await asyncio.gather(*streams) for error in errors]
    return [error for error in found if error]


async def _one_after_the_other(
    selections: Sequence[Selection], number: int, calls: int, http: httpx2.AsyncClient
) -> list[Error | None]:
    await asyncio.sleep(number * STAGGER_SECONDS)
    turns = [selections[(number + turn) % len(selections)] for turn in range(calls)]
    return [await _error(selection, http) for selection in turns][NEVER_BEFORE:]


async def _error(selection: Selection, http: httpx2.AsyncClient) -> Error | None:
    """None should the simulator not have answered as it was told."""
    request = ChatRequest(
        model=selection.model, messages=(Message.user("Hello"),), headers=TIMING.headers()
    )
    heard, tokens = Heard(), 0
    with recording() as recorder, suppress(ProviderError):
        async with aclosing(selection.client(http).stream(request)) as events:
            async for event in events:
                if isinstance(event, ChatResult):
                    tokens = event.usage.output_tokens if event.usage else 0
                elif event.text or event.reasoning:
                    heard.add(event, recorder.now)
    if tokens < 2 or heard.first is None or heard.last is None or recorder.sent is None:
        return None
    truth = TIMING.truth(tokens)
    return Error(
        ttft_ms=(heard.first - recorder.sent) * 1000 - truth.ttft_ms,
        itl_ms=(heard.last - heard.first) * 1000 / (tokens - 1) - TIMING.itl_ms,
        last_token_ms=(heard.last - recorder.sent) * 1000 - truth.latency_ms,
    )
