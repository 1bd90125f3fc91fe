"""`manage.py bench_gateway`: the gateway's speed beside bare relays and the provider itself."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from gateway.speed import figures
from gateway.speed.figures import Figures
from gateway.speed.stand import NotUp, standing

HEAD = f"{'':18}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'first ms':>9}{'CPU ms':>8}"


class Command(BaseCommand):
    help = (
        "Measures requests per second and latency of an upstream, of bare relays and of the "
        "gateway with everything on, in turns. Touches nobody's data: it has a database of its own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--rounds", type=int, default=5, help="of each kind of load, in turns (5)")
        add("--seconds", type=float, default=0.4, help="length of a round (0.4)")
        add("--users", type=int, default=1, help="that share the connections, a token each (1)")
        add("--no-budget", action="store_true", help="leave the budget out: see what it costs")
        add("--json", action="store_true", help="machine-readable")

    def handle(self, *args: Any, **options: Any) -> None:
        rounds, seconds, users = options["rounds"], options["seconds"], options["users"]
        if rounds < 1 or seconds <= 0 or users < 1:
            raise CommandError("--rounds, --seconds and --users must be above 0.", returncode=2)
        try:
            with standing(budget=not options["no_budget"], users=users) as targets:
                figures.settle(targets)  # a worker that has just begun has not all its modules yet
                idle = {t.name: figures.memory_mb(t.process) for t in targets if t.process}
                found = figures.run(targets, rounds=rounds, seconds=seconds)
                used = {t.name: figures.memory_mb(t.process) for t in targets if t.process}
        except NotUp as error:
            raise CommandError(str(error)) from None
        memory = {"idle": idle, "after": used}
        tell = self._tell_as_json if options["json"] else self._tell
        tell(found, memory)
        if failures := sum(one.failures for one in found):
            raise CommandError(f"{failures} requests failed: these figures mean nothing.")

    def _tell_as_json(self, found: list[Figures], memory: dict[str, Any]) -> None:
        told = {
            "database": connection.vendor,
            "results": figures.as_json(found),
            "shares": list(figures.shares(found)),
            "memory_mb": memory,
        }
        self.stdout.write(json.dumps(told, indent=2))

    def _tell(self, found: list[Figures], memory: dict[str, Any]) -> None:
        self.stdout.write(f"One worker, {connection.vendor}; medians.")
        for share in figures.shares(found):
            stream, connections = share["stream"], share["connections"]
            kind = "20-chunk streams" if stream else "whole answers"
            self.stdout.write(f"\n{kind}, {connections} at once\n{HEAD}")
            for one in found:
                if (one.stream, one.connections) == (stream, connections):
                    self.stdout.write(_line(one))
            self.stdout.write(
                f"  gateway / bare {share['of_bare']:.0%}, / with our own client "
                f"{share['of_bare_own_client']:.0%}, / direct {share['of_direct']:.0%}; "
                f"adds {share['added_to_bare_p50_ms']} ms to the bare relay's p50"
            )
            if row := share["bare_and_a_row_of_bare"]:
                self.stdout.write(
                    f"  the relay with our own client, and no more than a row a call: {row:.0%}"
                )
        for name, mb in memory["idle"].items():
            self.stdout.write(f"\nmemory of {name}: {mb} MB idle, {memory['after'][name]} MB after")


def _line(one: Figures) -> str:
    cpu = "" if one.cpu_ms is None else f"{one.cpu_ms:.2f}"
    return (
        f"  {one.target:16}{one.requests_per_second:9.1f}{one.p50_ms:9.2f}{one.p99_ms:9.2f}"
        f"{one.first_p50_ms:9.2f}{cpu:>8}"
    )
