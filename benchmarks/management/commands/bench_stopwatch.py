"""`manage.py bench_stopwatch`: how exact is the benchmark on this machine, on its whole path?

Measures the simulator (true first token 200 ms, 50 tokens at 10 ms) as a run of `manage.py
benchmark` does, with rows in the ledger and in the run, in a database made for it. Prints measured
minus true, the memory used, and whether that is within what is asked of it on a machine with
nothing else to do.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from benchmarks import store
from benchmarks.execution import execute
from benchmarks.keys import Keys, gather, of_simulator
from benchmarks.options import PROVIDERS
from benchmarks.plan import Contender, Plan
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from benchmarks.sample import Error, Sample
from benchmarks.simulation import Timing
from benchmarks.simulator.server import SimulatorProcess
from benchmarks.summary import percentile
from byom.logging import warnings_only
from byom.throwaway import throwaway_database

TIMING = Timing(ttft_ms=200.0, itl_ms=10.0, tokens=50)
FIGURES: tuple[tuple[str, Callable[[Error], float | None]], ...] = (
    ("first token", lambda error: error.ttft_ms),
    ("inter-token", lambda error: error.itl_ms),
    ("last token", lambda error: error.last_token_ms),
)
AT_ONE_AT_A_TIME = {"first token": 2.0, "inter-token": 0.2, "last token": 5.0}
AT_MANY = {"first token": 10.0}
MEGABYTE = 2**10  # of the kilobytes that ru_maxrss counts


class Command(BaseCommand):
    help = "Tells how exact and how hungry the benchmark is on this machine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--levels", type=int, nargs="+", default=[1, 32], help="at a time")
        parser.add_argument("--runs", type=int, default=20, help="calls per provider and level")

    def handle(self, *args: Any, levels: list[int], runs: int, **options: Any) -> None:
        quiet = warnings_only("usage.calls")
        with throwaway_database(), quiet, SimulatorProcess() as simulator:
            wanted = [Contender(provider, "") for provider in PROVIDERS]
            keys = gather(Source.SIMULATOR, of_simulator(simulator.url), wanted)
            kept = [self._level(keys, level, runs) for level in levels]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
        self.stdout.write(f"memory: at most {peak:.0f} MB in this process")
        if not all(kept):
            raise CommandError("This machine is too busy, or the benchmark has become less exact.")

    def _level(self, keys: Keys, level: int, runs: int) -> bool:
        plan = Plan(
            contenders=tuple(keys.selections),
            seed=1,
            prompts=PROMPTS[:1],
            runs=runs,
            levels=(level,),
        )
        row = store.create(plan=plan, source=keys.source, owner_id=None, simulated=keys.simulated)
        run = execute(row.pk, keys=keys, timing_of=lambda step: TIMING)
        self.stdout.write(f"{level} at a time, {len(run.measured)} calls (measured - true, ms):")
        promised = AT_ONE_AT_A_TIME if level == 1 else AT_MANY
        kept = [self._print(name, run.measured, of, promised) for name, of in FIGURES]
        return all(kept)

    def _print(
        self,
        name: str,
        samples: Sequence[Sample],
        of: Callable[[Error], float | None],
        promised: dict[str, float],
    ) -> bool:
        values = list(_known(samples, of))
        p50, p99 = percentile(values, 50), percentile(values, 99)
        limit = promised.get(name)
        asked = f"   (p50 within {limit} ms)" if limit else ""
        self.stdout.write(f"  {name:12} p50 {p50:7.3f}  p99 {p99:7.3f}{asked}")
        return limit is None or abs(p50) <= limit


def _known(samples: Iterable[Sample], of: Callable[[Error], float | None]) -> Iterable[float]:
    errors = [error for sample in samples if (error := sample.harness_error)]
    return [value for error in errors if (value := of(error)) is not None]
