from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from benchmarks.simulator.log import Entry
from benchmarks.simulator.server import SimulatorThread
from providers import registry
from providers.adapter import Adapter
from providers.http import http_client
from providers.simulated import PATHS
from providers.vocabulary import ChatRequest, Message

Allow = Callable[..., None]  # the fixture `allow`


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with http_client() as client:
        yield client


@dataclass(frozen=True)
class Subject:
    """One provider as the contract tests see it: the simulator speaking its dialect."""

    provider: str
    simulator: SimulatorThread
    http: httpx2.AsyncClient

    @property
    def row(self) -> registry.Provider:
        return registry.get(self.provider)

    @property
    def model(self) -> str:
        return self.row.default_model or "llama-3.1-8b"

    def key(self, fault: str = "good") -> str:
        return f"sk-sim-{fault}-{secrets.token_hex(12)}"

    def client(self, key: str = "", **options: Any) -> Adapter:
        options.setdefault("base_url", self.simulator.url + PATHS[self.provider])
        options.setdefault("http", self.http)
        return registry.make_client(self.provider, api_key=key or self.key(), **options)

    def ask(self, text: str = "What is the capital of France?", **fields: Any) -> ChatRequest:
        fields.setdefault("messages", (Message.user(text),))
        fields.setdefault("headers", FAST)
        return ChatRequest(model=self.model, **fields)

    def calls_of(self, key: str) -> list[Entry]:
        """What the simulator has seen of this key."""
        digest = hashlib.sha256(key.encode()).hexdigest()
        return [entry for entry in list(self.simulator.app.log) if entry.key_sha256 == digest]


FAST = {"x-sim-ttft-ms": "1", "x-sim-itl-ms": "0.1"}


@pytest.fixture(params=registry.names())
def subject(
    request: pytest.FixtureRequest, simulator: SimulatorThread, http: httpx2.AsyncClient
) -> Subject:
    return Subject(request.param, simulator, http)
