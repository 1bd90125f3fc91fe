"""How long ledger rows wait for the roll-up, while the job runs as it does in the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import perf_counter
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from usage.models import PendingRollup, UsageRecord
from usage.rollups import roll_up
from usage.speed.ledger import People, made_rows

AT_ONCE = 10  # rows in one transaction, as calls that end at the same time share one
Written = list[tuple[float, UUID]]  # when it was committed, and the row


def lags(people: People, rate: int, seconds: float) -> list[float]:
    """Seconds from each row's commit until the roll-ups count it, at `rate` rows a second."""
    rows = list(made_rows(int(rate * seconds), timezone.now(), people))
    stop, written = Event(), Written()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(_write, rows, rate, written)
        writing.add_done_callback(lambda _: stop.set())
        found = _roll(written, stop)
        writing.result()
    return found


def _write(rows: list[UsageRecord], rate: int, written: Written) -> None:
    start = perf_counter()
    try:
        for first in range(0, len(rows), AT_ONCE):
            Event().wait(max(0.0, start + first / rate - perf_counter()))
            batch = rows[first : first + AT_ONCE]
            UsageRecord.objects.bulk_create(batch)
            now = perf_counter()
            written.extend((now, row.pk) for row in batch)
    finally:
        connection.close()


def _roll(written: Written, stop: Event) -> list[float]:
    found: list[float] = []
    seen, waiting, ended = 0, Written(), False
    while not ended or waiting:
        ended = stop.wait(settings.PERIODIC_JOBS["usage.rollups.roll_up"])
        roll_up()
        now, fresh = perf_counter(), written[seen:]
        seen += len(fresh)
        left: set[UUID] = set(PendingRollup.objects.values_list("pk", flat=True))
        found += [now - at for at, pk in waiting + fresh if pk not in left]
        waiting = [(at, pk) for at, pk in waiting + fresh if pk in left]
    return found
