"""A worker killed in the middle of many turns: what clients got is in the books, and what was under
way can go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from django.db import connections
from django.utils import timezone

from agents.models import LEASE, LOST, AgentSession, Message, SessionStatus
from benchmarks.load import SESSIONS, Agent, Worker, client, create_session, events_of
from benchmarks.management.commands.bench_turns import make_agents
from byom.throwaway import database_url
from usage.models import Status, UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration, pytest.mark.slow]
AGENTS, ENOUGH = 12, 30
QUESTION = "Explain everything that there is to know about the sea, at length."
PATIENCE = 60.0


@dataclass
class Talk:
    """One agent's session, and the ends of its turns that its client has received whole."""

    agent: Agent
    session: str
    streams: bool
    received: list[dict[str, Any]] = field(default_factory=list)

    async def go_on(self, http: aiohttp.ClientSession) -> None:
        """Turn after turn, until the server is gone."""
        try:
            while True:
                await self.turn(http)
        except (aiohttp.ClientError, ConnectionError):
            return

    async def turn(self, http: aiohttp.ClientSession) -> None:
        body = {"content": QUESTION, "stream": self.streams}
        address = f"{SESSIONS}/{self.session}/messages"
        async with http.post(address, json=body, headers=self.agent.headers) as response:
            if not self.streams:
                assert response.status == 201, await response.text()
                self.received.append(await response.json())
                return
            async for name, data in events_of(response):
                assert name not in ("error", "refused"), data
                if name == "done":
                    self.received.append(data)


async def talks_until_killed(worker: Worker, agents: list[Agent]) -> list[Talk]:
    async with client(worker.url) as http:
        talks = [
            Talk(agent, (await create_session(http, agent))[0], streams=number % 3 > 0)
            for number, agent in enumerate(agents)
        ]
        running = [asyncio.create_task(talk.go_on(http)) for talk in talks]
        while sum(len(talk.received) for talk in talks) < ENOUGH:
            await asyncio.wait(running, timeout=0.01, return_when=asyncio.FIRST_EXCEPTION)
            assert not any(task.done() for task in running), "an agent has stopped by itself"
        worker.kill()
        await asyncio.gather(*running)
    return talks


async def one_more_turn(worker: Worker, talk: Talk) -> None:
    async with client(worker.url) as http:
        await talk.turn(http)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_was_received_is_in_the_books_and_what_was_cut_off_can_go_on(simulator: Any) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "byom.settings",
        "DATABASE_URL": database_url(),
        "BYOM_SIMULATOR": "off",
        "BYOM_SIMULATOR_URL": simulator.url,
        "BYOM_CALLS_PER_MINUTE": "1000000",
    }
    with Worker(environment) as worker:
        talks = asyncio.run(talks_until_killed(worker, make_agents(AGENTS)))

    answers = [answer for talk in talks for answer in talk.received]
    for answer in answers:
        record = UsageRecord.objects.get(pk=answer["receipt"]["call_id"])
        assert record.status == Status.OK
        assert record.output_tokens == answer["receipt"]["output_tokens"]
        message = Message.objects.get(pk=answer["message"]["id"])
        assert (message.text, message.record_id) == (answer["message"]["content"], record.pk)
    cut_off = AgentSession.objects.running()
    assert len(answers) >= ENOUGH and cut_off.exists()

    lost = [str(pk) for pk in cut_off.values_list("pk", flat=True)]
    cut_off.update(heartbeat_at=timezone.now() - LEASE)  # what waiting for it would come to
    with Worker(environment) as worker:
        wait_until(lambda: not AgentSession.objects.running().exists())
        failed = AgentSession.objects.filter(pk__in=lost)
        assert {(row.status, row.reason) for row in failed} == {(SessionStatus.FAILED, LOST)}
        talk = next(talk for talk in talks if talk.session in lost)
        before = len(talk.received)
        asyncio.run(one_more_turn(worker, talk))

    assert len(talk.received) == before + 1
    assert AgentSession.objects.get(pk=talk.session).status == SessionStatus.COMPLETED
    print(f"\n{len(answers)} answers received, {len(lost)} of {AGENTS} turns cut off")
    connections.close_all()
