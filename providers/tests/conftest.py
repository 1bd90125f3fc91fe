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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tells the reports, which may come from another process, what was promised by whom."""
    for item in items:
        mark = item.get_closest_marker("contract")
        if mark and isinstance(item, pytest.Function):
            item.user_properties.append(
                ("contract", (mark.args[0], item.callspec.params["subject"]))
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The contract as one table: promises down, providers across, the number of checks in it."""
    cells: dict[tuple[str, str], list[str]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "contract" and (report.when == "call" or outcome != "passed"):
                    cells.setdefault(tuple(value), []).append(outcome)
    if not cells:
        return
    width = max(len(what) for what, _ in cells) + 2
    terminalreporter.section("providers: the contract")
    terminalreporter.line(" " * width + "".join(f"{name:19}" for name in registry.names()))
    for what in sorted({what for what, _ in cells}, key=lambda what: ("error:" in what, what)):
        row = (_cell(cells.get((what, name), [])) for name in registry.names())
        terminalreporter.line(f"{what:{width}}" + "".join(f"{cell:19}" for cell in row))


def _cell(outcomes: list[str]) -> str:
    bad = sum(outcome != "passed" for outcome in outcomes)
    return f"{bad} of {len(outcomes)} FAILED" if bad else f"ok {len(outcomes)}" if outcomes else "-"
