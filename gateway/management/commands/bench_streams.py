"""`manage.py bench_streams`: thousands of streams at once on one worker, and slow readers."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from byom.serve import allow_open_files
from gateway.speed.figures import settled_down
from gateway.speed.load import Target
from gateway.speed.stand import NotUp, standing
from gateway.speed.streams import Broken, Held, Slow, Taken, hold, lag_ms, read_slowly, watched
from usage.models import Status, UsageRecord

MOST_MB = 400.0
MOST_PER_READER_MB = 1.0
SPARE_FILES = 200
PATIENCE = 10.0


class Command(BaseCommand):
    help = (
        "Opens thousands of long streams at once through one worker, then streams that are read a "
        "byte a second, and tells what the worker took for them. Fails where a stream breaks, a "
        "ledger row is missing, or memory grows beyond its bounds. Touches nobody's data: it has a "
        "database of its own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--streams", type=int, default=2000, help="at once (2000)")
        add("--stream-seconds", type=int, default=30, help="length of each (30)")
        add("--slow-readers", type=int, default=50, help="of 64 MB each, a byte a second (50)")
        add("--slow-seconds", type=int, default=20, help="for so long (20)")
        add("--json", action="store_true", help="machine-readable")

    def handle(self, *args: Any, **options: Any) -> None:
        streams, readers = options["streams"], options["slow_readers"]
        if min(streams, readers, options["stream_seconds"], options["slow_seconds"]) < 1:
            raise CommandError("All numbers must be above 0.", returncode=2)
        self._see_to_files(max(2 * streams, 2 * readers) + SPARE_FILES)
        at_once = {"BYOM_CONCURRENT_CALLS": str(streams + readers)}
        try:
            with standing(budget=True, variables=at_once) as (upstream, *_, gateway):
                found = uvloop.run(_measure(upstream, gateway, options))
                rows = _rows(streams, readers)
        except (NotUp, Broken) as error:
            raise CommandError(str(error)) from None
        (self._tell_as_json if options["json"] else self._tell)(*found, rows)
        if flaws := _flaws(*found, rows):
            raise CommandError(" ".join(flaws))

    def _see_to_files(self, needed: int) -> None:
        """The worker has two for each stream, and inherits our limit."""
        limit = allow_open_files(needed)
        if limit is not None and limit < needed:
            raise CommandError(
                f"This takes {needed:,} open files in one process, and the system allows "
                f"{limit:,}. Raise the hard limit (ulimit -Hn, or LimitNOFILE of the service), or "
                "take fewer --streams."
            )

    def _tell_as_json(self, held: Held, slow: Slow, first: Taken, second: Taken, rows: Any) -> None:
        lags = {"lag_p50_ms": lag_ms(held, 0.5), "lag_p99_ms": lag_ms(held, 0.99)}
        streams = {**asdict(held), **lags, "worker": asdict(first)}
        del streams["lags"]
        slow_readers = {**asdict(slow), "worker": asdict(second)}
        told = {"streams": streams, "slow_readers": slow_readers, "rows": rows}
        self.stdout.write(json.dumps({"database": connection.vendor, **told}, indent=2))

    def _tell(self, held: Held, slow: Slow, first: Taken, second: Taken, rows: Any) -> None:
        say = self.stdout.write
        say(f"One worker, {connection.vendor}.")
        say(
            f"\n{held.streams:,} streams: {held.at_once:,} open at once, {held.whole:,} whole, "
            f"{len(held.broken)} broken; rows in the ledger: {rows}\n"
            f"  a piece arrives {lag_ms(held, 0.5)} ms after it was sent (p50), "
            f"{lag_ms(held, 0.99)} ms (p99)\n  {_told(first)}, of {held.seconds:.0f} s"
        )
        say(
            f"\n{slow.readers} readers of a byte a second, {slow.seconds:.0f} s: the upstream got "
            f"rid of {slow.written_mb:,.0f} of {slow.asked_mb:,.0f} MB\n  {_told(second)}"
        )


def _told(taken: Taken) -> str:
    return (
        f"the worker: {taken.before_mb} MB before, {taken.resident_mb} MB at most (PSS "
        f"{taken.own_mb} MB), {taken.files:,} files, CPU {taken.cpu_seconds:.1f} s"
    )


async def _measure(
    upstream: Target, gateway: Target, options: dict[str, Any]
) -> tuple[Held, Slow, Taken, Taken]:
    await settled_down(gateway.process)
    async with watched(gateway.process) as first:
        held = await hold(gateway, streams=options["streams"], seconds=options["stream_seconds"])
    await settled_down(gateway.process)
    async with watched(gateway.process) as second:
        slow = await read_slowly(
            gateway, upstream, readers=options["slow_readers"], seconds=options["slow_seconds"]
        )
    return held, slow, first, second


def _rows(streams: int, readers: int) -> dict[str, int]:
    """Ledger rows by outcome, once those of the readers that have left are there too."""
    until = time.monotonic() + PATIENCE
    while UsageRecord.objects.count() < streams + readers and time.monotonic() < until:
        time.sleep(0.1)
    counted = UsageRecord.objects.values_list("status", flat=True)
    found = list(counted)
    return {status: found.count(status) for status in sorted(set(found))}


def _flaws(held: Held, slow: Slow, first: Taken, second: Taken, rows: dict[str, int]) -> list[str]:
    flaws = []
    if held.broken:
        flaws.append(f"{len(held.broken)} streams were broken, the first: {held.broken[0]}.")
    if held.at_once < held.streams:
        flaws.append(f"Only {held.at_once} streams were open at once: make them longer.")
    if rows != {Status.OK: held.streams, Status.CANCELLED: slow.readers}:
        flaws.append(f"The ledger has other rows than it should: {rows}.")
    if first.resident_mb > MOST_MB:
        flaws.append(f"The worker took {first.resident_mb} MB, more than {MOST_MB:.0f}.")
    if second.resident_mb - second.before_mb > slow.readers * MOST_PER_READER_MB:
        flaws.append(f"Slow readers cost {second.resident_mb - second.before_mb:.0f} MB.")
    return flaws
