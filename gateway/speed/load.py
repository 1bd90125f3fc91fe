"""Load: so many connections, each asking again as soon as it has been answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp

STREAM_CHUNKS = 20
_MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
_TIMEOUT = aiohttp.ClientTimeout(total=20)


@dataclass(frozen=True, slots=True)
class Target:
    """One of the things compared. `process` is the id of its worker, 0 where nobody asks."""

    name: str
    url: str
    key: str = field(repr=False)
    process: int = 0


@dataclass(slots=True)
class Tally:
    """What one round has seen; times in seconds. `firsts` are times to the first byte."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def load(target: Target, *, connections: int, stream: bool, seconds: float) -> Tally:
    """One round. Requests under way at its end are awaited, and count."""
    tally = Tally()
    body = json.dumps({"model": "gpt-4o-mini", "messages": _MESSAGES, "stream": stream}).encode()
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, timeout=_TIMEOUT
    ) as session:
        start = perf_counter()
        ask = (_ask(session, target.url, body, tally, start + seconds) for _ in range(connections))
        await asyncio.gather(*ask)
        tally.seconds = perf_counter() - start
    return tally


async def _ask(
    session: aiohttp.ClientSession, url: str, body: bytes, tally: Tally, until: float
) -> None:
    while (start := perf_counter()) < until:
        try:
            async with session.post(f"{url}/chat/completions", data=body) as answer:
                first = await answer.content.readany()
                tally.firsts.append(perf_counter() - start)
                rest = await answer.content.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            tally.failures.append(type(error).__name__)
            continue
        if answer.status == 200:
            tally.times.append(perf_counter() - start)
        else:
            tally.failures.append(
                f"{answer.status} {(first + rest)[:200].decode(errors='replace')}"
            )


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
