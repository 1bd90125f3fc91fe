"""A load on one worker over HTTP, seen from outside: many streamed turns at once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
SESSIONS = "/api/v1/agent/sessions"
QUESTION = "Explain what a relay is."


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody with an access token and a provider key of their own."""

    token: str
    credential_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True)
class Stream:
    """One turn as its client saw it. Times are readings of `perf_counter`; `booked_ms` is the time
    to the first token in the ledger, `problem` says in what the stream was not complete."""

    began: float
    first: float | None
    ended: float
    deltas: int
    booked_ms: float | None
    problem: str

    @property
    def first_ms(self) -> float | None:
        return None if self.first is None else (self.first - self.began) * 1000


class Worker:
    """One uvicorn worker with the product, as a process of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "byom.serve", "byom.asgi:application", "--port"]
        self._process = subprocess.Popen(
            [*command, str(self.port), "--log-level", "warning", "--no-access-log"],
            cwd=ROOT,
            env={**os.environ, **environment},
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        deadline = time.monotonic() + PATIENCE
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError("the worker did not start; its error is above")
            time.sleep(0.1)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """Ends it by SIGKILL, in the middle of whatever it does."""
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def status(self, name: str) -> int:
        """A number of proc(5)'s status, such as VmHWM (kB) or Threads; 0 where there is none."""
        path = Path(f"/proc/{self._process.pid}/status")
        text = path.read_text() if path.exists() else ""
        found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
        return int(found[1]) if found else 0

    def cpu_seconds(self) -> float:
        """User and system time so far; 0 where there is no proc(5)."""
        path = Path(f"/proc/{self._process.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def client(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        url,
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=600),
    )


async def create_session(http: aiohttp.ClientSession, agent: Agent) -> tuple[str, float]:
    """The id of a new session on the agent's own key, and the milliseconds it took."""
    began = perf_counter()
    body = {"credential_id": agent.credential_id}
    async with http.post(SESSIONS, json=body, headers=agent.headers) as response:
        answer = await response.json()
    taken = (perf_counter() - began) * 1000
    if response.status != 201:
        raise RuntimeError(f"no session: {response.status} {answer}")
    return str(answer["id"]), taken


async def stream_turn(
    http: aiohttp.ClientSession, agent: Agent, session: str, *, after: float, tokens: int
) -> Stream:
    """One streamed turn, begun `after` seconds from now. It is complete if it ends with `done`,
    its deltas make up the stored answer and the books have as many `tokens` as were made."""
    await asyncio.sleep(after)
    began = perf_counter()
    first: float | None = None
    texts: list[str] = []
    last: tuple[str, dict[str, Any]] = ("", {})
    body = {"content": QUESTION, "stream": True}
    address = f"{SESSIONS}/{session}/messages"
    try:
        async with http.post(address, json=body, headers=agent.headers) as response:
            async for name, data in events_of(response):
                last = (name, data)
                if name == "delta":
                    first = first or perf_counter()
                    texts.append(data["text"])
    except aiohttp.ClientError as error:
        last = ("broken", {"detail": str(error)})
    problem = _problem(last, "".join(texts), tokens)
    booked = (last[1].get("receipt") or {}).get("ttft_ms")
    return Stream(began, first, perf_counter(), len(texts), booked, problem)


async def events_of(response: aiohttp.ClientResponse) -> AsyncGenerator[tuple[str, Any]]:
    """Name and data of each event; `refused` and the answer where it is no stream."""
    if response.content_type != "text/event-stream":
        yield "refused", await response.json()
        return
    name = ""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].decode().strip()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


def _problem(last: tuple[str, dict[str, Any]], text: str, tokens: int) -> str:
    name, data = last
    if name != "done":
        return f"ended with {name or 'nothing'}: {data.get('detail', '')}"
    if data["message"]["content"] != text:
        return "the deltas are not the stored answer"
    if data["receipt"]["output_tokens"] != tokens:
        return f"{data['receipt']['output_tokens']} tokens in the books"
    return ""


def most_at_once(streams: list[Stream]) -> int:
    """How many of the streams were open at the same moment, at most."""
    changes = [(stream.began, 1) for stream in streams]
    changes += [(stream.ended, -1) for stream in streams]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
