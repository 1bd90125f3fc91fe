"""`manage.py benchmark`: the providers side by side, measured with your own keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from rich.console import Console
from rich.text import Text

from benchmarks import report, results
from benchmarks.baseline import BadBaseline, Baseline, load
from benchmarks.budget import unpriced
from benchmarks.changes import changes
from benchmarks.csv_file import csv_destination, save_csv
from benchmarks.history import keep
from benchmarks.keys import Keys, Source, gather, of_environment, of_simulator, of_user
from benchmarks.options import BadOption, add_options, wanted_models
from benchmarks.plan import Plan
from benchmarks.progress import progress_on
from benchmarks.runner import Run, execute
from benchmarks.simulator.server import SimulatorProcess
from usage.ledger import Caller
from usage.models import Surface

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
        wanted = _wanted(options)
        if options["fail_on_regression"] and not options["compare"]:
            raise CommandError("--fail-on-regression needs --compare.", returncode=USAGE)
        _refuse_unmigrated()
        path = _destination(options["output"])
        csv_path = _csv_destination(options["csv"])
        with _keys(options, wanted) as (keys, caller):
            _print(console, report.title(keys))
            _print(console, report.available_keys(keys))
            if not keys.selections:
                raise CommandError(NO_KEYS, returncode=USAGE)
            plan = _plan(keys, options)
            _refuse_unpriced(plan)
            _print(console, report.estimate(plan))
            baseline = _baseline(options["compare"], caller)
            run = Run(plan, keys, caller, slo=options["slo"], baseline=baseline)
            _execute(console, run, path)
        _finish(console, run, path, csv_path, options["fail_on_regression"])


def _wanted(options: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    try:
        return wanted_models(options["providers"], options["models"])
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
        return results.destination(output, timezone.now())
    except results.BadOutput as error:
        raise CommandError(f"--output: {error}", returncode=USAGE) from None


def _csv_destination(name: str | None) -> Path | None:
    try:
        return csv_destination(name) if name else None
    except results.BadOutput as error:
        raise CommandError(f"--csv: {error}", returncode=USAGE) from None


def _baseline(text: str | None, caller: Caller) -> Baseline | None:
    try:
        return load(text, owner_id=caller.user_id) if text else None
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
    options: dict[str, Any], wanted: dict[str, tuple[str, ...]]
) -> Iterator[tuple[Keys, Caller]]:
    """The keys, and the simulator for as long as it is needed."""
    caller = Caller(surface=Surface.BENCHMARK)
    if options["simulate"]:
        with SimulatorProcess() as simulator:
            yield gather(Source.SIMULATOR, of_simulator(simulator.url), wanted), caller
    elif options["user"] is not None:
        user = _user(options["user"])
        caller = Caller(surface=Surface.BENCHMARK, user_id=user.pk)
        yield gather(Source.USER, of_user(user), wanted), caller
    else:
        yield gather(Source.ENVIRONMENT, of_environment, wanted), caller


def _user(name: str) -> Any:
    users = get_user_model()
    try:
        user = users.objects.get_by_natural_key(name)
    except users.DoesNotExist:
        raise CommandError(f"There is no user {name!r}.", returncode=USAGE) from None
    if not user.is_active:
        raise CommandError(f"The account of {name!r} is switched off.", returncode=USAGE)
    return user


def _plan(keys: Keys, options: dict[str, Any]) -> Plan:
    seed = options["seed"]
    return Plan(
        contenders=tuple(keys.selections),
        seed=secrets.randbelow(2**32) if seed is None else seed,
        runs=options["runs"],
        warmup=options["warmup"],
        max_tokens=options["max_tokens"],
        timeout=options["timeout"],
        concurrency=options["concurrency"],
        max_cost=options["max_cost"],
    )


def _execute(console: Console, run: Run, path: Path) -> None:
    """Should anything break half-way, what has been paid for is saved first."""
    try:
        with progress_on(console, run.plan) as progress:
            execute(run, progress)
    except Exception:
        run.interrupted = True
        if run.samples:
            results.save(path, results.document(run))
        raise


def _finish(
    console: Console, run: Run, path: Path, csv_path: Path | None, fail_on_regression: bool
) -> None:
    """Saves before it prints: a closed pipe must not cost the results."""
    if not run.samples:
        raise _nothing_measured(run)
    try:
        saved, trouble = results.save(path, results.document(run)), ""
    except OSError as error:
        saved, trouble = path, f"The results could not be saved to {path}: {error.strerror}."
    kept = _keep(run)
    _print(console, report.results(run))
    if trouble:
        raise CommandError(trouble, returncode=FAILED)
    console.print(Text(f"\n✓ Results saved to: {saved}"), soft_wrap=True)
    console.print(Text(kept), soft_wrap=True)
    if csv_path:
        _save_csv(console, run, csv_path)
    _raise_for_status(run)
    if fail_on_regression and any(one.word == "regression" for one in changes(run)):
        raise CommandError("Something has become slower or dearer.", returncode=FAILED)


def _keep(run: Run) -> str:
    try:
        return f"✓ Kept as run: {keep(run).pk}"
    except DatabaseError as error:
        return f"✗ Not kept in the database: {type(error).__name__}"


def _raise_for_status(run: Run) -> None:
    if run.interrupted:
        raise CommandError("Stopped: these are the results so far.", returncode=INTERRUPTED)
    if run.out_of_money:
        raise CommandError(
            f"Stopped, with the results so far: {run.out_of_money}", returncode=BUDGET
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


def _nothing_measured(run: Run) -> CommandError:
    if run.out_of_money:
        return CommandError(f"Stopped: {run.out_of_money}", returncode=BUDGET)
    if run.interrupted:
        return CommandError("Stopped before anything was measured.", returncode=INTERRUPTED)
    reasons = " ".join(run.refused.values())
    return CommandError(f"None of the keys can be used. {reasons}", returncode=USAGE)


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
