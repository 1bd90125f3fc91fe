"""`rotate_keys`, killed in the middle while people write, and started again: all of it in
processes of their own, on a database that is made for it.

With BYOM_PROOF_USERS=100 it takes 3,000 keys, and prints what it saw (pytest -s).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from byom.tests.databases import K1, K2, PATIENCE, Database, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow]
USERS = os.environ.get("BYOM_PROOF_USERS", "20")
ROWS = int(USERS) * 30


def worker(database: Database, ring: str, *arguments: str) -> subprocess.Popen[str]:
    module = ("-m", "credentials.tests.rotation_worker")
    users = {"BYOM_PROOF_USERS": USERS}
    return database.start(ring, *module, *arguments, variables=users, stdout=subprocess.PIPE)


def rows_on(connection: Any, kid: str) -> int:
    like = f"SELECT count(*) FROM credentials_llmcredential WHERE api_key LIKE 'byom1:{kid}:%'"
    return int(connection.execute(like).fetchone()[0])


@contextmanager
def writers(database: Database, ring: str) -> Iterator[dict[str, Path]]:
    """Two processes that replace keys and edit labels until the block ends."""
    logs = {name: database.folder / f"{name}.log" for name in ("keys", "labels")}
    processes = [worker(database, ring, name, str(database.folder)) for name in logs]
    try:
        wait_for(lambda: all(log.exists() and log.stat().st_size for log in logs.values()))
        yield logs
    finally:
        (database.folder / "stop").touch()
        codes = [process.wait(PATIENCE) for process in processes]
        for process in processes:
            process.stdout.close()  # type: ignore[union-attr]  # it is a pipe
    assert codes == [0, 0]


def test_a_killed_rotation_goes_on_and_loses_no_write(database: Database) -> None:
    both = f"{K2},{K1}"
    seeding = worker(database, K1, "seed")
    seeding.communicate(timeout=PATIENCE)
    with closing(database.connect()) as connection:
        total = rows_on(connection, "k1")
        with writers(database, both) as logs:
            command = ("manage.py", "rotate_keys", "--batch", "10")
            rotation = database.start(both, *command, stdout=subprocess.DEVNULL)
            wait_for(lambda: rows_on(connection, "k2") >= total * 0.25)
            rotation.kill()
            rotation.wait()
            at_kill = rows_on(connection, "k2")
            said = database.run(both, *command)
            left = rows_on(connection, "k1")
        writes = {name: len(log.read_text().splitlines()) for name, log in logs.items()}
    # With the new key alone on the ring, as after the last step of the manual.
    verifying = worker(database, K2, "verify", str(database.folder))
    found = json.loads(verifying.communicate(timeout=PATIENCE)[0])

    print(f"\nkilled at {at_kill} of {total}; then: {said.splitlines()[-1]} writes: {writes}")
    assert (total, left) == (ROWS, 0)
    assert 0.2 * total <= at_kill <= 0.8 * total
    assert found == {"rows": ROWS, "wrong_keys": 0, "wrong_labels": 0}
