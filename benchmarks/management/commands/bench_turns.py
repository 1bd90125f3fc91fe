"""`manage.py bench_turns`: hundreds of streamed turns at once on one worker, seen by the clients.

It starts a worker and the simulator as processes of their own, on a database of its own that it
drops again. No provider is called.
"""

from __future__ import annotations

import asyncio
import statistics
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from benchmarks.keys import SIMULATOR_KEYS
from benchmarks.load import (
    Agent,
    Stream,
    Worker,
    client,
    create_session,
    most_at_once,
    stream_turn,
)
from benchmarks.simulator.server import SimulatorProcess
from byom.throwaway import database_url, throwaway_database
from credentials.models import AccessToken, LLMCredential

PROVIDERS = ("openai", "anthropic", "google")
WARM_UP = 10
TARGETS = {"memory_mb": 350.0, "first_ms": 60.0, "creation_ms": 20.0}


class Command(BaseCommand):
    help = "Streams many sessions at once through one worker: completeness, delay added, memory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--streams", type=int, default=200)
        add("--rate", type=float, default=20.0, help="turns begun per second; 0 begins all at once")
        add("--ttft-ms", type=float, default=400.0, help="the simulator's time to first token")
        add("--itl-ms", type=float, default=50.0, help="the simulator's time between tokens")
        add("--tokens", type=int, default=300, help="length of each answer")
        add("--chunk", type=int, default=5, help="tokens per event of the simulator's streams")
        add("--no-fail", action="store_true", help="report only, whatever the figures are")

    def handle(self, *args: Any, no_fail: bool, **options: Any) -> None:
        timing = ("ttft_ms", "itl_ms", "tokens", "chunk")
        flags = [f"--{name.replace('_', '-')}={options[name]}" for name in timing]
        with throwaway_database(), SimulatorProcess(flags) as simulator:
            agents = make_agents(options["streams"] + WARM_UP)
            environment = {
                "DATABASE_URL": database_url(),
                "BYOM_SIMULATOR": "off",
                "BYOM_SIMULATOR_URL": simulator.url,
                "BYOM_CALLS_PER_MINUTE": "1000000",
                "BYOM_LOG_LEVEL": "WARNING",
            }
            with Worker(environment) as worker:
                missed = asyncio.run(self.measure(worker, agents, options))
        if missed and not no_fail:
            raise CommandError(f"Not met: {', '.join(missed)}.")

    async def measure(
        self, worker: Worker, agents: list[Agent], options: dict[str, Any]
    ) -> list[str]:
        """Prints the figures; returns what does not meet its target."""
        tokens, rate = options["tokens"], options["rate"]
        async with client(worker.url) as http:
            await create_session(http, agents[0])
            await asyncio.sleep(3)  # the first request has the SDKs imported in the background
            created = [await create_session(http, agent) for agent in agents]
            turns = [
                stream_turn(http, agent, session, after=0, tokens=tokens)
                for agent, (session, _) in zip(agents[:WARM_UP], created, strict=False)
            ]
            await asyncio.gather(*turns)
            idle, cpu = worker.status("VmRSS"), worker.cpu_seconds()
            turns = [
                stream_turn(http, agent, session, after=n / rate if rate else 0, tokens=tokens)
                for n, (agent, (session, _)) in enumerate(
                    zip(agents[WARM_UP:], created[WARM_UP:], strict=True)
                )
            ]
            running = asyncio.gather(*turns)
            threads = await watch_threads(worker, running)
            streams = running.result()
        cpu = worker.cpu_seconds() - cpu
        span = max(s.ended for s in streams) - min(s.began for s in streams)
        self.stdout.write(f"{connection.vendor}, one worker, {len(streams)} streams")
        self.stdout.write(f"open at once       {most_at_once(streams)}")
        self.stdout.write(f"deltas per second  {sum(s.deltas for s in streams) / span:.0f}")
        self.stdout.write(f"worker             {cpu / span:.0%} of a core, {threads} threads")
        booked = [s.booked_ms - options["ttft_ms"] for s in streams if s.booked_ms is not None]
        self.stdout.write(f"  of it in the call  p50 {statistics.median(booked or [0]):.1f} ms")
        return [
            *self.complete(streams),
            *self.figure("first token, added", added(streams, options["ttft_ms"]), "first_ms"),
            *self.figure("session created", [ms for _, ms in created[WARM_UP:]], "creation_ms"),
            *self.memory(idle / 1024, worker.status("VmHWM") / 1024),
        ]

    def complete(self, streams: list[Stream]) -> list[str]:
        broken = [stream.problem for stream in streams if stream.problem]
        self.stdout.write(f"complete           {len(streams) - len(broken)} of {len(streams)}")
        for problem in sorted(set(broken)):
            self.stdout.write(f"  {broken.count(problem)} times: {problem}")
        return ["every stream complete"] if broken else []

    def figure(self, name: str, values: list[float], target: str) -> list[str]:
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        p50, p95, most = cuts[49], cuts[94], max(values)
        limit = TARGETS[target]
        self.stdout.write(
            f"{name:<18} p50 {p50:.1f}, p95 {p95:.1f} (target {limit:.0f}), most {most:.1f} ms"
        )
        return [f"{name} p95"] if p95 > limit else []

    def memory(self, idle: float, peak: float) -> list[str]:
        limit = TARGETS["memory_mb"]
        self.stdout.write(
            f"memory             {peak:.0f} MB at most (target {limit:.0f}), {idle:.0f} MB before"
        )
        return ["memory"] if peak > limit else []


def make_agents(count: int) -> list[Agent]:
    """People with one key each, of the three providers in turn."""
    agents = []
    for number in range(count):
        person = User.objects.create(username=f"bench{number}")
        provider = PROVIDERS[number % len(PROVIDERS)]
        row = LLMCredential(owner=person, provider=provider, label="bench")
        row.set_api_key(f"{SIMULATOR_KEYS[provider]}-{number:06d}")
        row.save()
        _, token = AccessToken.issue(user=person, name="bench")
        agents.append(Agent(token, str(row.pk)))
    return agents


def added(streams: list[Stream], ttft_ms: float) -> list[float]:
    """Milliseconds between the simulator's first token and the client's."""
    return [stream.first_ms - ttft_ms for stream in streams if stream.first_ms is not None] or [
        float("inf")
    ] * 2


async def watch_threads(worker: Worker, running: asyncio.Future[Any]) -> int:
    """The most threads that the worker had until all streams were over."""
    most = 0
    while not running.done():
        most = max(most, worker.status("Threads"))
        await asyncio.wait([running], timeout=0.5)
    return most
