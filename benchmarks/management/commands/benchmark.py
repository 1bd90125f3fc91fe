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
from benchmarks.keys import Keys, Source, gather, of_environment, of_simulator, of_user
from benchmarks.options import BadOption, add_options, wanted_models
from benchmarks.plan import Plan
from benchmarks.progress import progress_on
from benchmarks.runner import Run, execute
from benchmarks.simulator.server import SimulatorProcess
from usage.ledger import Caller
from usage.models import Surface

USAGE, FAILED, INTERRUPTED = 2, 1, 130
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
        _refuse_unmigrated()
        path = _destination(options["output"])
        with _keys(options, wanted) as (keys, caller):
            _print(console, report.title(keys))
            _print(console, report.available_keys(keys))
            if not keys.selections:
                raise CommandError(NO_KEYS, returncode=USAGE)
            run = Run(_plan(keys, options), keys, caller)
            _execute(console, run, path)
        _finish(console, run, path)


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


def _finish(console: Console, run: Run, path: Path) -> None:
    """Saves before it prints: a closed pipe must not cost the results."""
    if not run.samples:
        raise _nothing_measured(run)
    try:
        saved, trouble = results.save(path, results.document(run)), ""
    except OSError as error:
        saved, trouble = path, f"The results could not be saved to {path}: {error.strerror}."
    _print(console, report.results(run))
    if trouble:
        raise CommandError(trouble, returncode=FAILED)
    console.print(Text(f"\n✓ Results saved to: {saved}"), soft_wrap=True)
    if run.interrupted:
        raise CommandError("Stopped: these are the results so far.", returncode=INTERRUPTED)
    if not any(sample.ok for sample in run.samples):
        raise CommandError(
            f"All {len(run.samples)} calls failed. The first one: {run.samples[0].error}",
            returncode=FAILED,
        )


def _nothing_measured(run: Run) -> CommandError:
    if run.interrupted:
        return CommandError("Stopped before anything was measured.", returncode=INTERRUPTED)
    reasons = " ".join(run.refused.values())
    return CommandError(f"None of the keys can be used. {reasons}", returncode=USAGE)


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
