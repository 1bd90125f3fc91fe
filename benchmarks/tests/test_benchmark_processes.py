"""Runs in processes of their own: killed and gone on with, shared by workers, within a limit."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

pytestmark = pytest.mark.slow
PATIENCE = 120


class Machine:
    """A directory with a migrated database, and commands that use it."""

    def __init__(self, var: Path) -> None:
        self.var = var
        assert self.run("migrate", "--verbosity", "0").returncode == 0

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "BYOM_VAR_DIR": str(self.var), "DATABASE_URL": ""}
        environment["DJANGO_SETTINGS_MODULE"] = "byom.settings"
        return subprocess.Popen(
            [sys.executable, str(django_settings.BASE_DIR / "manage.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        (database,) = self.var.glob("*.sqlite3")
        with sqlite3.connect(database, timeout=20) as connection:
            return connection.execute(sql, values).fetchall()

    def results(self, folder: Path) -> dict[str, Any]:
        (path,) = folder.glob("benchmark_results_*.json")
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return found


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    yield Machine(tmp_path_factory.mktemp("var"))


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_was_killed_goes_on_without_a_call_twice_or_missing(
    machine: Machine, tmp_path: Path
) -> None:
    options = ("--simulate", "--runs", "12", "--concurrency", "4", "--output", str(tmp_path))
    process = machine.start("benchmark", *options, "--max-cost", "5")
    ours = "select id from benchmarks_benchmarkrun where total = 111 and done >= 50"
    until(lambda: machine.rows(ours))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ((run_id,),) = machine.rows(ours)
    resume = ("benchmark", "--resume", run_id, "--output", str(tmp_path))

    machine.rows("update benchmarks_benchmarkshard set heartbeat_at = '2999-01-01 00:00:00'")
    refused = machine.run(*resume)
    machine.rows("update benchmarks_benchmarkshard set heartbeat_at = '2020-01-01 00:00:00'")
    resumed = machine.run(*resume)

    assert refused.returncode == 2 and "try again then" in refused.stdout
    assert resumed.returncode == 0, resumed.stdout
    assert re.search(r"Resumed: \d+ of 111 calls", resumed.stdout)
    orders = [sample["order"] for sample in machine.results(tmp_path)["samples"]]
    assert sorted(orders) == list(range(111))


def test_workers_share_a_run_and_its_limit_of_cost(machine: Machine, tmp_path: Path) -> None:
    together = ("--simulate", "--workers", "2", "--concurrency", "16", "--output", str(tmp_path))

    done = machine.run("benchmark", *together, "--runs", "10", "--max-cost", "0.01")

    found = machine.results(tmp_path)
    spent = sum(float(sample["cost_usd"]) for sample in found["samples"])
    assert done.returncode == 3 and found["status"] == "out_of_money", done.stdout
    assert 0 < spent <= 0.01 and found["plan"]["shards"] == 2
    assert {sample["block"] % 2 for sample in found["samples"]} == {0, 1}
    ((booked,),) = machine.rows(
        "select sum(cost_usd) from usage_usagerecord where id in"
        " (select record_id from benchmarks_benchmarksample where run_id = ?)",
        found["run_id"].replace("-", ""),
    )
    assert booked == pytest.approx(spent)
