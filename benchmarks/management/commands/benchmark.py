"""`manage.py benchmark`: the providers side by side, measured with your own keys."""

from __future__ import annotations

import secrets
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from rich.console import Console
from rich.text import Text

from benchmarks import report, result_files, results, schedules, store, workers
from benchmarks.baseline import BadBaseline, Baseline, load
from benchmarks.budget import unpriced
from benchmarks.changes import changes
from benchmarks.csv_file import csv_destination, save_csv
from benchmarks.execution import execute, keys_of
from benchmarks.html_report import html_report
from benchmarks.keys import (
    Keys,
    NoKey,
    gather,
    of_environment,
    of_simulator,
    of_user,
    with_keys,
)
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.options import BadOption, add_options, wanted
from benchmarks.plan import Contender, Plan
from benchmarks.plan_json import plan_from_json
from benchmarks.progress import progress_on
from benchmarks.prompt_file import BadPrompts, read_prompts
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.report_style import styled
from benchmarks.rows import bare
from benchmarks.run import Run, Source
from benchmarks.simulator.server import SimulatorProcess

USAGE, FAILED, BUDGET, INTERRUPTED = 2, 1, 3, 130
NO_KEYS = """There is no key to measure with. Set OPENAI_API_KEY, GOOGLE_API_KEY or \
ANTHROPIC_API_KEY, or use --user NAME for the keys that a user has stored, or --simulate to try \
it without any key."""
NOT_MIGRATED = """The database is not ready. Run `make run` once, or `manage.py migrate`."""


class Command(BaseCommand):
    help = "Measures response times, tokens and cost of the providers side by side."
    requires_system_checks: list[str] = []  # they import every page, for a second or two

    def add_arguments(self, parser: CommandParser) -> None:
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.ending = ""
        console = Console(file=cast(IO[str], self.stdout), highlight=False)
        wanted_ones = _wanted(options)
        if options["fail_on_regression"] and not options["compare"]:
            raise CommandError("--fail-on-regression needs --compare.", returncode=USAGE)
        if options["rate"] and options["concurrency"] != (1,):
            raise CommandError("--rate and --concurrency exclude each other.", returncode=USAGE)
        if options["workers"] > min(options["concurrency"]) and not options["rate"]:
            raise CommandError(
                "--workers needs --concurrency of as many or more, or --rate.", returncode=USAGE
            )
        if options["credentials"] and options["user"] is None:
            raise CommandError("--credentials needs --user.", returncode=USAGE)
        _refuse_unmigrated()
        prompts = _prompts(options["prompts"])
        earlier = _resumed(options["resume"])
        path = _destination(options["output"])
        csv_path = _file_destination("--csv", options["csv"])
        html_path = _file_destination("--html", options["html"])
        with _keys(options, wanted_ones, earlier) as (keys, owner_id):
            _print(console, report.title(bool(keys.simulated)))
            _print(console, report.available_keys(keys))
            if not keys.selections:
                raise CommandError(NO_KEYS, returncode=USAGE)
            baseline = _baseline(options["compare"], owner_id)
            plan = plan_from_json(earlier.plan) if earlier else _plan(keys, prompts, options)
            plan = replace(plan, max_cost=options["max_cost"] or plan.max_cost)
            _refuse_unpriced(plan)
            _print(console, report.estimate(plan, earlier.done if earlier else 0))
            if options["schedule"]:
                return _keep_schedule(console, options, plan)
            if not (options["yes"] or options["simulate"] or _agreed(self.stdout)):
                raise CommandError("Nothing was measured.", returncode=USAGE)
            row = _reopened(earlier, options) if earlier else _created(plan, keys, owner_id)
            run = _execute(console, row, keys, plan, path)
        run.baseline = baseline
        if html_path and run.samples:
            _save_html(console, run, html_path)
        _finish(console, run, path, csv_path, options["fail_on_regression"])


def _agreed(out: Any) -> bool:
    """Asks where somebody is there to answer."""
    if not (sys.stdin.isatty() and out.isatty()):
        return True
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _resumed(run_id: uuid.UUID | None) -> BenchmarkRun | None:
    if run_id is None:
        return None
    found = BenchmarkRun.objects.filter(pk=run_id).first()
    if found is None:
        raise CommandError(f"--resume: there is no run {run_id}.", returncode=USAGE)
    return found


def _created(plan: Plan, keys: Keys, owner_id: Any) -> BenchmarkRun:
    return store.create(
        plan=plan,
        source=keys.source,
        owner_id=owner_id,
        simulated=keys.simulated,
        skipped=keys.skipped,
    )


def _reopened(earlier: BenchmarkRun, options: dict[str, Any]) -> BenchmarkRun:
    try:
        return store.reopen(earlier.pk, max_cost=options["max_cost"])
    except store.NotResumable as error:
        raise CommandError(f"--resume: {error}", returncode=USAGE) from None


def _wanted(options: dict[str, Any]) -> list[Contender]:
    try:
        return wanted(options["providers"], options["models"])
    except BadOption as error:
        raise CommandError(str(error), returncode=USAGE) from None


def _refuse_unmigrated() -> None:
    """Each call has its row in the ledger, so there has to be one."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        raise CommandError(
            f"The database does not answer. {NOT_MIGRATED}", returncode=USAGE
        ) from None
    if missing:
        raise CommandError(NOT_MIGRATED, returncode=USAGE)


def _destination(output: str) -> Path:
    try:
        return result_files.destination(output, timezone.now())
    except result_files.BadOutput as error:
        raise CommandError(f"--output: {error}", returncode=USAGE) from None


def _file_destination(option: str, name: str | None) -> Path | None:
    try:
        return csv_destination(name) if name else None
    except result_files.BadOutput as error:
        raise CommandError(f"{option}: {error}", returncode=USAGE) from None


def _baseline(text: str | None, owner_id: Any) -> Baseline | None:
    try:
        return load(text, owner_id=owner_id) if text else None
    except BadBaseline as error:
        raise CommandError(f"--compare: {error}", returncode=USAGE) from None


def _refuse_unpriced(plan: Plan) -> None:
    unknown = unpriced(plan.contenders, plan) if plan.max_cost is not None else []
    if unknown:
        names = ", ".join(contender.model for contender in unknown)
        raise CommandError(
            f"--max-cost can't be kept: no price is known for {names}.", returncode=USAGE
        )


@contextmanager
def _keys(
    options: dict[str, Any], wanted_ones: list[Contender], earlier: BenchmarkRun | None
) -> Iterator[tuple[Keys, Any]]:
    """The keys and whose they are, and the simulator for as long as it is needed. A run that is
    resumed goes on with keys of the same kind and person."""
    if earlier:
        run = bare(earlier)
        with keys_of(run) as keys:
            yield keys, run.owner_id
    elif options["simulate"]:
        with SimulatorProcess() as simulator:
            yield gather(Source.SIMULATOR, of_simulator(simulator.url), wanted_ones), None
    elif options["user"] is not None:
        user = _user(options["user"])
        yield gather(Source.USER, of_user(user), _named(options, user, wanted_ones)), user.pk
    else:
        yield gather(Source.ENVIRONMENT, of_environment, wanted_ones), None


def _named(options: dict[str, Any], user: Any, wanted_ones: list[Contender]) -> list[Contender]:
    try:
        return with_keys(user, options["credentials"], wanted_ones)
    except NoKey as error:
        raise CommandError(f"--credentials: {error}", returncode=USAGE) from None


def _user(name: str) -> Any:
    users = get_user_model()
    try:
        user = users.objects.get_by_natural_key(name)
    except users.DoesNotExist:
        raise CommandError(f"There is no user {name!r}.", returncode=USAGE) from None
    if not user.is_active:
        raise CommandError(f"The account of {name!r} is switched off.", returncode=USAGE)
    return user


def _prompts(name: str | None) -> tuple[Prompt, ...]:
    try:
        return read_prompts(Path(name)) if name else PROMPTS
    except BadPrompts as error:
        raise CommandError(f"--prompts: {error}", returncode=USAGE) from None


def _plan(keys: Keys, prompts: tuple[Prompt, ...], options: dict[str, Any]) -> Plan:
    seed = options["seed"]
    return Plan(
        contenders=tuple(keys.selections),
        prompts=prompts,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        runs=options["runs"],
        warmup=options["warmup"],
        max_tokens=options["max_tokens"],
        timeout=options["timeout"],
        levels=options["concurrency"],
        rate=options["rate"],
        stream=not options["no_stream"],
        max_cost=options["max_cost"],
        shards=options["workers"],
        slo=options["slo"],
    )


def _execute(console: Console, row: BenchmarkRun, keys: Keys, plan: Plan, path: Path) -> Run:
    """Should anything break half-way, what has been paid for is saved first."""
    try:
        with progress_on(console, plan) as progress:
            if plan.shards > 1:
                return workers.carry_out(row.pk, plan.shards, progress.counted)
            return execute(row.pk, keys=keys, progress=progress)
    except Exception:
        broken = store.run_of(row.pk)
        if broken.samples:
            result_files.save(path, results.document(broken))
        raise


def _finish(
    console: Console, run: Run, path: Path, csv_path: Path | None, fail_on_regression: bool
) -> None:
    """Saves before it prints: a closed pipe must not cost the results."""
    if not run.samples:
        raise _nothing_measured(run)
    try:
        saved, trouble = result_files.save(path, results.document(run)), ""
    except OSError as error:
        saved, trouble = path, f"The results could not be saved to {path}: {error.strerror}."
    _print(console, report.results(run))
    if trouble:
        raise CommandError(trouble, returncode=FAILED)
    console.print(Text(f"\n✓ Results saved to: {saved}"), soft_wrap=True)
    console.print(Text(f"✓ Kept as run: {run.id}"), soft_wrap=True)
    if csv_path:
        _save_csv(console, run, csv_path)
    _raise_for_status(run)
    if fail_on_regression and any(one.word == "regression" for one in changes(run)):
        raise CommandError("Something has become slower or dearer.", returncode=FAILED)


def _raise_for_status(run: Run) -> None:
    goes_on = f"Go on with --resume {run.id}"
    if run.status in (RunStatus.INTERRUPTED, RunStatus.CANCELLED):
        raise CommandError(
            f"Stopped: these are the results so far. {goes_on}.", returncode=INTERRUPTED
        )
    if run.status == RunStatus.OUT_OF_MONEY:
        raise CommandError(
            f"Stopped, with the results so far: {run.error} {goes_on} --max-cost USD.",
            returncode=BUDGET,
        )
    if not any(sample.ok for sample in run.samples):
        raise CommandError(
            f"All {len(run.samples)} calls failed. The first one: {run.samples[0].error}",
            returncode=FAILED,
        )


def _save_csv(console: Console, run: Run, path: Path) -> None:
    try:
        save_csv(path, run)
    except OSError as error:
        raise CommandError(
            f"The calls could not be saved to {path}: {error.strerror}.", returncode=FAILED
        ) from None
    console.print(Text(f"✓ Calls saved to: {path}"), soft_wrap=True)


def _save_html(console: Console, run: Run, path: Path) -> None:
    try:
        path.write_text(html_report(BenchmarkRun.objects.get(pk=run.id)), "utf-8")
    except OSError as error:
        raise CommandError(
            f"The report could not be saved to {path}: {error.strerror}.", returncode=FAILED
        ) from None
    console.print(Text(f"\n✓ Report saved to: {path}"), soft_wrap=True)


def _keep_schedule(console: Console, options: dict[str, Any], plan: Plan) -> None:
    if options["user"] is None or plan.max_cost is None:
        raise CommandError("--schedule needs --user and --max-cost.", returncode=USAGE)
    made = schedules.make(owner=_user(options["user"]), rhythm=options["schedule"], plan=plan)
    console.print(Text(f"✓ Schedule {made.pk}: {made.rhythm}"), soft_wrap=True)
    console.print(Text(f"  Due next: {made.next_at:%Y-%m-%d %H:%M} UTC"), soft_wrap=True)


def _nothing_measured(run: Run) -> CommandError:
    if run.status == RunStatus.OUT_OF_MONEY:
        return CommandError(f"Stopped: {run.error}", returncode=BUDGET)
    if run.status in (RunStatus.INTERRUPTED, RunStatus.CANCELLED):
        return CommandError("Stopped before anything was measured.", returncode=INTERRUPTED)
    reasons = " ".join(run.refused.values())
    return CommandError(f"None of the keys can be used. {reasons}", returncode=USAGE)


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(styled(line), soft_wrap=True)
