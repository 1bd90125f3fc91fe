"""Budgets under calls from several processes at once, and under one that is killed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from credentials.tests.test_rotation_killed import (
    K1,
    PATIENCE,
    Database,
    database,
    wait_for,
)

__all__ = ["database"]
pytestmark = [pytest.mark.integration, pytest.mark.slow]
THREADS, ROOM = 32, 10


def start(database: Database, *command: str) -> subprocess.Popen[str]:
    module = ("-m", "usage.tests.budget_worker")
    return database.start(K1, *module, *command, stdout=subprocess.PIPE)


def said(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return json.loads(out or "null")


def test_64_calls_from_two_processes_get_no_further_than_a_budget_for_10(
    database: Database,
) -> None:
    said(start(database, "seed", str(ROOM)))
    spending = [start(database, "spend", str(THREADS)) for _ in range(2)]
    served = [said(process) for process in spending]
    found = said(start(database, "verify"))

    print(f"\nserved {served} of {2 * THREADS}: {found}")
    assert sum(served) == ROOM
    assert found == {
        "left": 0, "rows": ROOM, "without_row": 0, "held": 0, "reserved": 0, "spent": [ROOM, ROOM],
    }  # fmt: skip


def test_a_process_killed_under_load_leaves_no_reservation_and_no_answer_without_its_row(
    database: Database, tmp_path: Path
) -> None:
    log = tmp_path / "received.log"
    said(start(database, "seed", "1000000"))
    worker = start(database, "keep_spending", str(log))
    wait_for(lambda: log.exists() and log.read_text().count("\n") >= 40)
    worker.kill()
    worker.communicate()
    received = log.read_text().count("\n")
    found = said(start(database, "verify", str(log)))

    print(f"\nkilled after {received} answers: {found}")
    assert (found["without_row"], found["held"], found["reserved"]) == (0, 0, 0)
    assert found["rows"] >= received
    assert found["spent"] == [found["rows"]] * 2
