"""What task workers do for benchmarks."""

from __future__ import annotations

import threading
import uuid

from django_tasks import task

from benchmarks import store
from benchmarks.execution import execute
from benchmarks.models import BenchmarkRun

_one_at_a_time = threading.Lock()


@task
def carry_out(run_id: str) -> None:
    """Carries out what is left of the run, unless this process measures another one already: two
    would measure each other. Then the run is handed out again in a while."""
    key = uuid.UUID(run_id)
    if not _one_at_a_time.acquire(blocking=False):
        BenchmarkRun.objects.filter(pk=key).update(enqueued_at=None)
        return
    try:
        if _is_wanted(key):
            execute(key)
    finally:
        _one_at_a_time.release()


def _is_wanted(key: uuid.UUID) -> bool:
    """False if the run is gone, or what asked for it may ask for nothing any more."""
    run = BenchmarkRun.objects.select_related("access_token").filter(pk=key).first()
    if run is not None and run.access_token and run.access_token.state != "active":
        store.cancel(key)
        return False
    return run is not None
