"""The parts of `bench_gateway`; the command itself takes most of a minute."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from benchmarks.simulator.server import SimulatorThread
from byom.tests.live_server import serve
from byom.throwaway import database_url
from gateway.speed.bare import BareRelay
from gateway.speed.bare_row import RelayWithRow
from gateway.speed.figures import Figures, cpu_seconds, memory_mb, shares
from gateway.speed.load import Target, load, percentile
from gateway.speed.stand import KEY
from gateway.tests.sdks import run


def figures(target: str, rate: float, p50: float) -> Figures:
    return Figures(target, False, 16, rate, p50, p50, p50, None, 0)


@pytest.mark.integration
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["aiohttp", "own"])
def test_the_bare_relays_pass_on_what_the_simulator_says(
    simulator: SimulatorThread, client: str, stream: bool
) -> None:
    with serve(BareRelay(client, f"{simulator.url}/openai/v1")) as url:
        tally = run(load(Target("bare", url, KEY), connections=2, stream=stream, seconds=0.01))

    assert tally.times and not tally.failures
    assert all(entry.stream == stream for entry in simulator.app.log)


@pytest.fixture
def rows(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The table that the relay with a row makes for itself."""
    if connection.vendor != "postgresql":
        pytest.skip("it is for PostgreSQL")
    monkeypatch.setenv("DATABASE_URL", database_url())
    yield "bench_row"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_row")


@pytest.mark.integration
@pytest.mark.parametrize("stream", [False, True])
def test_the_relay_with_a_row_writes_one_for_each_answer(
    simulator: SimulatorThread, rows: str, stream: bool
) -> None:
    with serve(RelayWithRow("own", f"{simulator.url}/openai/v1")) as url:
        tally = run(load(Target("row", url, KEY), connections=5, stream=stream, seconds=0.05))

    assert tally.times and not tally.failures
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {rows}")
        assert cursor.fetchone() == (len(tally.times),)


@pytest.mark.integration
def test_connections_take_the_keys_in_turn(simulator: SimulatorThread) -> None:
    keys = ("sk-sim-ok-key-1", "sk-sim-ok-key-2", "sk-sim-ok-key-3")
    target = Target("direct", f"{simulator.url}/openai/v1", keys[0], others=keys[1:])
    run(load(target, connections=4, stream=False, seconds=0.01))

    assert {entry.key_last4 for entry in simulator.app.log} == {key[-4:] for key in keys}


@pytest.mark.integration
def test_what_is_refused_is_told_and_does_not_count(simulator: SimulatorThread) -> None:
    target = Target("direct", f"{simulator.url}/openai/v1", "sk-wrong")
    tally = run(load(target, connections=1, stream=False, seconds=0.01))

    assert not tally.times and tally.failures[0].startswith("401 ")


def test_the_gateway_is_told_as_a_share_of_the_others() -> None:
    found = [
        figures("direct", 1000, 1),
        figures("bare", 500, 2),
        figures("bare, own client", 600, 1.8),
        figures("bare, and a row", 400, 2.2),
        figures("gateway", 300, 2.5),
    ]
    (share,) = shares(found)
    (without,) = shares([one for one in found if one.target != "bare, and a row"])

    assert (share["of_bare"], share["of_bare_own_client"], share["of_direct"]) == (0.6, 0.5, 0.3)
    assert share["added_to_bare_p50_ms"] == 0.5
    assert (share["bare_and_a_row_of_bare"], without["bare_and_a_row_of_bare"]) == (0.8, None)


def test_percentiles_are_values_that_were_seen() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.99) == 3
    assert percentile([], 0.5) == 0.0


def test_a_process_that_is_not_there_has_no_figures() -> None:
    assert cpu_seconds(0) is None and memory_mb(0) is None
    if os.path.exists("/proc/self/stat"):
        assert cpu_seconds(os.getpid()) and memory_mb(os.getpid())


def test_nonsense_is_refused() -> None:
    with pytest.raises(CommandError, match="above 0"):
        call_command("bench_gateway", rounds=0)
