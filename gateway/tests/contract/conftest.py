"""The table: what is promised down, SDK × the model's provider across, the checks in each cell."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.tests.factories import CredentialFactory
from gateway.tests.contract.faces import FACES, Face

MODELS = {face.provider: face.model for face in FACES}
_WIDTH = 11
Cell = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """An SDK, and the provider whose model it asks for."""

    face: Face
    provider: str

    @property
    def model(self) -> str:
        return MODELS[self.provider]

    @property
    def is_translated(self) -> bool:
        return self.provider != self.face.provider


@pytest.fixture(
    params=[(face, provider) for face in FACES for provider in MODELS],
    ids=lambda pair: f"{pair[0].provider} SDK, {pair[1]} model",
)
def pair(
    request: pytest.FixtureRequest, alice: User, simulator: SimulatorThread, no_retry_waits: None
) -> Pair:
    """With a key of alice's for each provider."""
    for provider in MODELS:
        CredentialFactory.create(owner=alice, provider=provider)
    face, provider = request.param
    mark = request.node.get_closest_marker("promise")
    request.node.user_properties.append(("promise", (mark.args[0], face.provider, provider)))
    return Pair(face, provider)


@pytest.fixture(params=FACES, ids=lambda face: face.provider)
def face(request: pytest.FixtureRequest) -> Face:
    """An SDK that is told something by ourselves: whose model it asked for does not matter."""
    mark = request.node.get_closest_marker("promise")
    face: Face = request.param
    for provider in MODELS:
        request.node.user_properties.append(("promise", (mark.args[0], face.provider, provider)))
    return face


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    cells: dict[Cell, list[str]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            for name, value in getattr(report, "user_properties", ()):
                if name == "promise" and (report.when == "call" or outcome != "passed"):
                    cells.setdefault(tuple(value), []).append(outcome)
    if cells:
        terminalreporter.section("gateway: each SDK on each provider's models")
        for line in _table(cells):
            terminalreporter.line(line)


def _table(cells: dict[Cell, list[str]]) -> list[str]:
    promises = sorted({what for what, _, _ in cells}, key=lambda what: ("error" in what, what))
    width = max(map(len, promises)) + 2
    pairs = [(sdk, provider) for sdk in MODELS for provider in MODELS]
    sdks = "".join(f"{sdk + ' SDK':{_WIDTH * len(MODELS)}}" for sdk in MODELS)
    models = "".join(f"{provider:{_WIDTH}}" for _, provider in pairs)
    lines = [" " * width + sdks, f"{'on a model of':{width}}" + models]
    for what in promises:
        row = "".join(f"{_cell(cells.get((what, *each), [])):{_WIDTH}}" for each in pairs)
        lines.append(f"{what:{width}}" + row)
    return lines


def _cell(outcomes: list[str]) -> str:
    bad = sum(outcome != "passed" for outcome in outcomes)
    return f"{bad} FAILED" if bad else f"ok {len(outcomes)}" if outcomes else "-"
