"""The command's options: what they are called, what they may be, what they mean together."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from benchmarks.plan import Contender
from benchmarks.plan_rules import RANGES, BadPlan, read_levels
from benchmarks.rhythm import BadRhythm, Rhythm, read_rhythm
from benchmarks.slo import BadSlo, Slo, read_slo
from providers import registry

RHYTHMS = "“every 6h”, “daily 06:00 Europe/Berlin”, “weekly mon 06:00” (needs a running server)"
PROVIDERS = ("openai", "google", "anthropic")


class BadOption(ValueError):
    """The options don't fit together; the message says which."""


def add_options(parser: argparse.ArgumentParser) -> None:
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", metavar="NAME", help="measure with this user's stored keys")
    whose.add_argument("--simulate", action="store_true", help="needs no key: simulated answers")
    add = parser.add_argument
    add("--providers", type=_providers, default=PROVIDERS, metavar="A,B", help="which ones")
    add("--credentials", nargs="+", default=[], metavar="KEY", help="--user's keys: ids or labels")
    add(
        "--models",
        type=_model,
        nargs="+",
        action="extend",
        default=[],
        metavar="PROVIDER=MODEL",
        help="other models than the usual ones; several of one provider are compared too",
    )
    add("--prompts", metavar="FILE|simple,…", help="some of simple,medium,complex, or a file")
    add("--runs", type=_value("runs", int), default=3, help="measured calls per prompt (3)")
    add("--warmup", type=_value("warmup", int), default=1, help="first calls, reported apart (1)")
    add("--max-tokens", type=_value("max_tokens", int), default=1024, help="longest answer (1024)")
    add("--timeout", type=_value("timeout", float), default=120.0, help="longest silence, s (120)")
    add("--concurrency", type=_levels, default=(1,), metavar="N,…", help="calls at a time (1)")
    add("--workers", type=_value("shards", int), default=1, help="processes that share them (1)")
    add("--rate", type=_value("rate", float), metavar="N", help="calls a second instead (Poisson)")
    add("--no-stream", action="store_true", help="whole answers: no time to the first token")
    add("--max-cost", type=_value("max_cost", Decimal), metavar="USD", help="stop rather than pay")
    add("--slo", type=_slo, metavar="ttft=MS,e2e=MS", help="count the calls that were this quick")
    add("--seed", type=_value("seed", int), help="repeats the order of calls of another run")
    add("--resume", type=_run_id, metavar="RUN", help="go on with a run that stopped early")
    add("--compare", metavar="RUN|FILE", help="with an earlier run: its id, or its JSON file")
    add("--fail-on-regression", action="store_true", help="exit 1 if one is found (--compare)")
    add("--yes", action="store_true", help="don't ask before it starts")
    add("--csv", metavar="FILE", help="a row per call, besides the results")
    add("--html", metavar="FILE", help="a report with plots, besides the results")
    add("--schedule", type=_rhythm, metavar="WHEN", help=f"not now, but {RHYTHMS}")
    add("--output", default=".", metavar="DIR|FILE.json", help="where the results go")


def wanted(providers: Iterable[str], models: Iterable[tuple[str, str]]) -> list[Contender]:
    """What to measure, with the model "" for the usual one. Raises BadOption."""
    by_provider: dict[str, list[str]] = {provider: [] for provider in providers}
    for provider, model in models:
        if provider not in by_provider:
            raise BadOption(f"--models names {provider}, which --providers leaves out.")
        by_provider[provider].append(model)
    return [
        Contender(provider, model)
        for provider, named in by_provider.items()
        for model in named or [""]
    ]


def _providers(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        _known(name)
    return names


def _model(text: str) -> tuple[str, str]:
    provider, _, model = text.partition("=")
    if not model:
        raise argparse.ArgumentTypeError(f"write PROVIDER=MODEL, not {text!r}")
    belongs = registry.provider_for_model(model)
    if not _known(provider).needs_base_url and belongs not in (None, provider):
        raise argparse.ArgumentTypeError(f"{model} is a model of {belongs}, not of {provider}")
    return provider, model


def _known(name: str) -> registry.Provider:
    try:
        return registry.get(name)
    except registry.UnknownProvider as error:
        raise argparse.ArgumentTypeError(f"{name!r}: {error}") from None


def _value(field: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A value of that field of the plan."""

    def convert(text: str) -> Any:
        try:
            value = read(text)
            if value in RANGES[field]:
                return value
        except (ValueError, InvalidOperation):  # or a NaN was compared
            pass
        raise argparse.ArgumentTypeError(f"{RANGES[field]}, not {text!r}")

    return convert


def _levels(text: str) -> tuple[int, ...]:
    try:
        return read_levels(text)
    except BadPlan as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None


def _rhythm(text: str) -> Rhythm:
    try:
        return read_rhythm(text)
    except BadRhythm as error:
        raise argparse.ArgumentTypeError(f"{error} Not {text!r}.") from None


def _run_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"the id of a run, not {text!r}") from None


def _slo(text: str) -> Slo:
    try:
        return read_slo(text)
    except BadSlo as error:
        raise argparse.ArgumentTypeError(f"{error}, not {text!r}") from None
