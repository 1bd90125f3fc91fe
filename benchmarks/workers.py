"""A run in the hands of several processes of this machine, each with shards of it.

For more calls at a time than one process can time well. They share nothing but the database.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.conf import settings

from benchmarks import store
from benchmarks.models import BenchmarkRun
from benchmarks.run import Run

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 30.0

Processes = Sequence["subprocess.Popen[bytes]"]


def carry_out(run_id: uuid.UUID, count: int, told: Callable[[int, int], None]) -> Run:
    """Returns once all of them are done. `told` hears how many calls of how many are made. Ctrl-C
    interrupts them, and is not raised."""
    command = [sys.executable, "manage.py", "benchmark_worker", str(run_id)]
    workers = [
        subprocess.Popen(command, cwd=settings.BASE_DIR, start_new_session=True)
        for _ in range(count)
    ]
    try:
        _watch(workers, run_id, told)
    except KeyboardInterrupt:
        _interrupt(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    store.abandon(run_id)
    return store.run_of(run_id)


def _watch(workers: Processes, run_id: uuid.UUID, told: Callable[[int, int], None]) -> None:
    before = -1
    while any(worker.poll() is None for worker in workers):
        done, total = BenchmarkRun.objects.values_list("done", "total").get(pk=run_id)
        if done != before:
            told(done, total)
            before = done
        time.sleep(LOOK_SECONDS)


def _interrupt(workers: Processes) -> None:
    for worker in workers:
        worker.send_signal(signal.SIGINT)
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(PATIENCE_SECONDS)
