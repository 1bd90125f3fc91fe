"""`manage.py benchmark`: the providers side by side, measured with your own keys."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.text import Text

from benchmarks import report, result_files, results, schedules, store, workers
from benchmarks.command_input import (
    NO_KEYS,
    Files,
    Options,
    baseline,
    files,
    keys_for,
    mistake,
    naming,
    person,
    plan_of,
    prompts_of,
    refuse_contradictions,
    refuse_unmigrated,
    resumed,
)
from benchmarks.command_output import finish, refuse_regression, say
from benchmarks.execution import execute
from benchmarks.keys import Keys
from benchmarks.models import BenchmarkRun
from benchmarks.options import add_options
from benchmarks.plan import Plan
from benchmarks.progress import progress_on
from benchmarks.run import Run, Source
from benchmarks.starting import prepared
from byom.logging import warnings_only


class Command(BaseCommand):
    help = "Measures response times, tokens and cost of the providers side by side."
    requires_system_checks: list[str] = []  # they import every page, for a second or two

    def add_arguments(self, parser: CommandParser) -> None:
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.ending = ""
        console = Console(file=cast(IO[str], self.stdout), highlight=False)
        quiet = nullcontext() if options["verbosity"] > 1 else warnings_only("usage.calls")
        refuse_contradictions(options)
        refuse_unmigrated()
        with quiet:
            self._handle(console, options)

    def _handle(self, console: Console, options: Options) -> None:
        prompts, earlier, places = prompts_of(options), resumed(options["resume"]), files(options)
        with keys_for(options, earlier) as (keys, owner_id):
            say(console, report.title(bool(keys.simulated)))
            say(console, report.available_keys(keys))
            if not keys.selections:
                raise mistake(NO_KEYS)
            compared_with = baseline(options["compare"], owner_id)
            plan = plan_of(options, prompts, keys, earlier)
            say(console, report.estimate(plan, earlier.done if earlier else 0))
            if options["schedule"]:
                return _keep_schedule(console, options, plan)
            if not (options["yes"] or options["simulate"] or _agreed(self.stdout)):
                raise mistake("Nothing was measured.")
            row = _row(plan, keys, owner_id, earlier, options)
            run = _execute(console, row, keys, plan, places)
        run.baseline = compared_with
        finish(console, run, places)
        if options["fail_on_regression"]:
            refuse_regression(run)


def _agreed(out: Any) -> bool:
    """Asks where somebody is there to answer."""
    if not (sys.stdin.isatty() and out.isatty()):
        return True
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _row(
    plan: Plan, keys: Keys, owner_id: Any, earlier: BenchmarkRun | None, options: Options
) -> BenchmarkRun:
    if earlier:
        with naming("--resume"):
            return store.reopen(earlier.pk, max_cost=options["max_cost"])
    return store.create(
        plan=plan,
        source=keys.source,
        owner_id=owner_id,
        simulated=keys.simulated,
        skipped=keys.skipped,
    )


def _execute(console: Console, row: BenchmarkRun, keys: Keys, plan: Plan, places: Files) -> Run:
    """Should anything break half-way, what has been paid for is saved first."""
    try:
        with progress_on(console, plan) as progress:
            if plan.shards > 1:
                return workers.carry_out(row.pk, plan.shards, progress.counted)
            return execute(row.pk, keys=keys, progress=progress)
    except Exception:
        broken = store.run_of(row.pk)
        if broken.samples:
            result_files.save(places.json, results.document(broken))
        raise


def _keep_schedule(console: Console, options: Options, plan: Plan) -> None:
    """Each of its runs has a seed of its own, unless one is asked for."""
    owner = person(options["user"])
    kept = replace(plan, seed=options["seed"] or 0)
    with naming("--schedule"):
        prepared(plan=kept, source=Source.USER, user=owner)
    made = schedules.make(owner=owner, rhythm=options["schedule"], plan=kept)
    console.print(Text(f"✓ Schedule {made.pk}: {made.rhythm}"), soft_wrap=True)
    console.print(Text(f"  Due next: {made.next_at:%Y-%m-%d %H:%M} UTC"), soft_wrap=True)
