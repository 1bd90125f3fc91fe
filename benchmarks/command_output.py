"""What `manage.py benchmark` leaves behind: files, the report, and an exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from django.core.management.base import CommandError
from rich.console import Console
from rich.text import Text

from benchmarks import report, result_files, results
from benchmarks.changes import changes
from benchmarks.command_input import USAGE, Files
from benchmarks.csv_file import save_csv
from benchmarks.html_report import html_report
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.report_style import styled
from benchmarks.run import Run

FAILED, BUDGET, INTERRUPTED = 1, 3, 130


def say(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(styled(line), soft_wrap=True)


def finish(console: Console, run: Run, files: Files) -> None:
    """Saves before it prints: a closed pipe must not cost the results. Raises CommandError where
    the run is not complete, or not all of it could be saved."""
    if not run.samples:
        raise _nothing_measured(run)
    saved = list(_saved(run, files))
    say(console, report.results(run))
    console.print()
    for line in [line for line, _ in saved if line]:
        console.print(Text(line), soft_wrap=True)
    console.print(Text(f"✓ Kept as run: {run.id}"), soft_wrap=True)
    if trouble := " ".join(problem for _, problem in saved if problem):
        raise CommandError(trouble, returncode=FAILED)
    _raise_for_status(run)


def refuse_regression(run: Run) -> None:
    if any(one.word == "regression" for one in changes(run)):
        raise CommandError("Something has become slower or dearer.", returncode=FAILED)


def _saved(run: Run, files: Files) -> Iterator[tuple[str, str]]:
    """Of each file a line to print, or else a sentence about what was wrong with it."""
    yield _attempt(
        "results", files.json, lambda path: result_files.save(path, results.document(run))
    )
    if files.csv:
        yield _attempt("calls", files.csv, lambda path: save_csv(path, run))
    if files.html:
        yield _attempt("report", files.html, lambda path: _save_html(path, run))


def _attempt(what: str, path: Path, save: Callable[[Path], Path]) -> tuple[str, str]:
    try:
        return f"✓ {what.capitalize()} saved to: {save(path)}", ""
    except OSError as error:
        return "", f"The {what} could not be saved to {path}: {error.strerror}."


def _save_html(path: Path, run: Run) -> Path:
    path.write_text(html_report(BenchmarkRun.objects.get(pk=run.id)), "utf-8")
    return path


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
    if run.status == RunStatus.FAILED:
        raise CommandError(
            f"It broke off, with the results so far: {run.error} {goes_on}.", returncode=FAILED
        )
    if not any(sample.ok for sample in run.samples):
        raise CommandError(
            f"All {len(run.samples)} calls failed. The first one: {run.samples[0].error}",
            returncode=FAILED,
        )


def _nothing_measured(run: Run) -> CommandError:
    if run.status == RunStatus.OUT_OF_MONEY:
        return CommandError(f"Stopped: {run.error}", returncode=BUDGET)
    if run.status in (RunStatus.INTERRUPTED, RunStatus.CANCELLED):
        return CommandError("Stopped before anything was measured.", returncode=INTERRUPTED)
    reasons = " ".join(run.refused.values())
    return CommandError(f"None of the keys can be used. {reasons}", returncode=USAGE)
