"""What `manage.py benchmark` was asked for: options become keys, a plan and places for files.

Whatever is wrong with them is a CommandError of status 2 that names the option.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from benchmarks import result_files, store
from benchmarks.baseline import BadBaseline, Baseline, load
from benchmarks.budget import unpriced
from benchmarks.csv_file import csv_destination
from benchmarks.execution import keys_of
from benchmarks.keys import (
    Keys,
    NoKey,
    gather,
    of_environment,
    of_simulator,
    of_user,
    with_keys,
)
from benchmarks.models import BenchmarkRun
from benchmarks.options import BadOption, wanted
from benchmarks.plan import Plan
from benchmarks.plan_json import plan_from_json
from benchmarks.plan_rules import BadPlan, checked
from benchmarks.prompt_file import BadPrompts, named_prompts
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.result_files import BadOutput
from benchmarks.rows import bare
from benchmarks.run import Source
from benchmarks.simulator.server import SimulatorProcess
from benchmarks.starting import StartError

USAGE = 2
NO_KEYS = """There is no key to measure with. Set OPENAI_API_KEY, GOOGLE_API_KEY or \
ANTHROPIC_API_KEY, or use --user NAME for the keys that a user has stored, or --simulate to try \
it without any key."""
NOT_MIGRATED = """The database is not ready. Run `make run` once, or `manage.py migrate`."""

Options = dict[str, Any]


def mistake(text: str) -> CommandError:
    return CommandError(text, returncode=USAGE)


@contextmanager
def naming(option: str = "") -> Iterator[None]:
    """What is wrong inside is a mistake in that option."""
    try:
        yield
    except BadPlan as error:
        raise mistake(f"--{error.field.replace('_', '-')}: {error}.") from None
    except (
        BadBaseline,
        BadOption,
        BadOutput,
        BadPrompts,
        NoKey,
        StartError,
        store.NotResumable,
    ) as error:
        raise mistake(f"{option}: {error}" if option else str(error)) from None


@dataclass(frozen=True, slots=True)
class Files:
    """Where the results go; None: not asked for."""

    json: Path
    csv: Path | None
    html: Path | None


def files(options: Options) -> Files:
    """Found to be free and writable now, rather than after an hour of calls."""
    with naming("--output"):
        json = result_files.destination(options["output"], timezone.now())
    return Files(json, _file("--csv", options["csv"]), _file("--html", options["html"]))


def _file(option: str, name: str | None) -> Path | None:
    with naming(option):
        return csv_destination(name) if name else None


def refuse_contradictions(options: Options) -> None:
    """What no plan can tell: options that need one another."""
    if options["fail_on_regression"] and not options["compare"]:
        raise mistake("--fail-on-regression needs --compare.")
    if options["credentials"] and options["user"] is None:
        raise mistake("--credentials needs --user.")
    if options["schedule"] and (options["user"] is None or options["max_cost"] is None):
        raise mistake("--schedule needs --user and --max-cost.")


def refuse_unmigrated() -> None:
    """Each call has its row in the ledger, so there has to be one."""
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        raise mistake(f"The database does not answer. {NOT_MIGRATED}") from None
    if missing:
        raise mistake(NOT_MIGRATED)


def resumed(run_id: Any) -> BenchmarkRun | None:
    """The run to go on with, if one is named."""
    if run_id is None:
        return None
    found = BenchmarkRun.objects.filter(pk=run_id).first()
    if found is None:
        raise mistake(f"--resume: there is no run {run_id}.")
    return found


def baseline(text: str | None, owner_id: Any) -> Baseline | None:
    with naming("--compare"):
        return load(text, owner_id=owner_id) if text else None


@contextmanager
def keys_for(options: Options, earlier: BenchmarkRun | None) -> Iterator[tuple[Keys, Any]]:
    """The keys and whose they are, and the simulator for as long as it is needed. A run that is
    resumed goes on with keys of the same kind and person."""
    with naming():
        asked = wanted(options["providers"], options["models"])
    if earlier:
        run = bare(earlier)
        with keys_of(run) as keys:
            yield keys, run.owner_id
    elif options["simulate"]:
        with SimulatorProcess() as simulator:
            yield gather(Source.SIMULATOR, of_simulator(simulator.url), asked), None
    elif options["user"] is not None:
        user = person(options["user"])
        with naming("--credentials"):
            asked = with_keys(user, options["credentials"], asked)
        yield gather(Source.USER, of_user(user), asked), user.pk
    else:
        yield gather(Source.ENVIRONMENT, of_environment, asked), None


def person(name: str) -> Any:
    users = get_user_model()
    try:
        user = users.objects.get_by_natural_key(name)
    except users.DoesNotExist:
        raise mistake(f"There is no user {name!r}.") from None
    if not user.is_active:
        raise mistake(f"The account of {name!r} is switched off.")
    return user


def prompts_of(options: Options) -> tuple[Prompt, ...]:
    with naming("--prompts"):
        return named_prompts(options["prompts"]) if options["prompts"] else PROMPTS


def plan_of(
    options: Options, prompts: tuple[Prompt, ...], keys: Keys, earlier: BenchmarkRun | None
) -> Plan:
    """What is going to be measured; of an earlier run, as it was planned then."""
    plan = plan_from_json(earlier.plan) if earlier else _plan(options, prompts, keys)
    plan = replace(plan, max_cost=options["max_cost"] or plan.max_cost)
    with naming():
        checked(plan)
    unknown = unpriced(plan.contenders, plan) if plan.max_cost is not None else []
    if unknown:
        names = ", ".join(contender.model for contender in unknown)
        raise mistake(f"--max-cost can't be kept: no price is known for {names}.")
    return plan


def _plan(options: Options, prompts: tuple[Prompt, ...], keys: Keys) -> Plan:
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
