"""What the person reads: plain text, the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from benchmarks.budget import most_of_plan
from benchmarks.keys import Keys
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import Prompt
from benchmarks.report_sweep import sweep_lines
from benchmarks.report_verdicts import change_lines, spreads, verdict_lines
from benchmarks.report_words import (
    RULE,
    THIN_RULE,
    dollars,
    heading,
    name,
    printable,
    row,
    seconds,
)
from benchmarks.run import Run
from benchmarks.sample import Sample
from benchmarks.summary import Figures, figures, harness_error

PREVIEW_CHARACTERS = 100
COLUMNS = (("Provider", 15), ("Model", 30), ("Time (s)", 10), ("First (s)", 10)) + (
    ("Tokens", 8),
    ("Cost ($)", 10),
)
FAILED = (("Failed", 10),)
SIMULATED = "Simulated: the provider simulator answers, so nothing here is about real providers."
FEW_RUNS = 30
BUSY_MS = 3.0


def title(simulated: bool) -> Iterator[str]:
    yield RULE
    yield "BYOM Performance Benchmark" + (" (simulated)" if simulated else "")
    yield RULE
    if simulated:
        yield SIMULATED
    yield ""


def available_keys(keys: Keys) -> Iterator[str]:
    yield "Available API Keys:"
    found = {contender.provider: chosen for contender, chosen in keys.selections.items()}
    for provider, selection in found.items():
        yield f"  ✓ {name(provider, selection.payer.is_simulated)}"
    for provider, reason in keys.skipped.items():
        yield f"  ✗ {name(provider)}: skipped, {reason}"
    yield ""


def estimate(plan: Plan, done: int = 0) -> Iterator[str]:
    """What is about to happen, before it does."""
    calls = len(plan.steps())
    if done:
        yield f"Resumed: {done} of {calls} calls are made already."
    most = most_of_plan(plan)
    price = "a price that is not known" if most is None else f"at most {_priced(most)}"
    limit = "" if plan.max_cost is None else f", stopping before {_priced(plan.max_cost)}"
    yield f"Planned: {calls} calls, for {price} at list prices{limit}."
    yield ""


def running(plan: Plan, step: Step) -> Iterator[str]:
    yield ""
    yield THIN_RULE
    if step.cold:
        yield "Warming up: first calls, reported apart"
    else:
        level = f", {step.level} at a time" if len(plan.levels) > 1 else ""
        yield f"Running benchmark: {printable(step.prompt.name)}{level}"
    yield THIN_RULE


def outcome(sample: Sample) -> str:
    took = f"({seconds(sample.time_s)}s)"
    return f"✓ {took}" if sample.ok else f"✗ {sample.error_code} {took}"


def results(run: Run) -> Iterator[str]:
    """Everything after the last call."""
    for prompt in run.plan.prompts:
        yield from _prompt(run, prompt)
    yield from _failures(run)
    yield from _cold(run)
    yield from _summary(run)
    yield from sweep_lines(run)
    yield from _verdicts(run)
    yield from _changes(run)
    yield from _harness(run)
    yield from _advice(run)


def _prompt(run: Run, prompt: Prompt) -> Iterator[str]:
    samples = [sample for sample in run.measured if sample.step.prompt == prompt]
    if not samples:
        return
    yield from ("", RULE, f"Benchmark: {prompt.name}", RULE, "")
    yield from _table(run, samples)
    yield from ("", "Response Previews:", THIN_RULE)
    for contender in run.contenders:
        yield from ("", f"{heading(run, contender)}:", f"  {_preview(_of(samples, contender))}")


def _table(run: Run, samples: Sequence[Sample]) -> Iterator[str]:
    """Medians over the runs, the fastest first, those without any success last."""
    found = {contender: figures(_of(samples, contender)) for contender in run.contenders}
    ranked = sorted(
        found.items(), key=lambda item: item[1].median.time_s if item[1].median else 1e9
    )
    columns = COLUMNS + (FAILED if any(row.failed for row in found.values()) else ())
    rows = [
        (
            name(contender.provider, run.is_simulated(contender)),
            contender.model,
            *_cells(row),
            f"{row.failed} of {row.calls}",
        )[: len(columns)]
        for contender, row in ranked
    ]
    widths = [
        max(width, *(len(row[column]) for row in rows)) for column, (_, width) in enumerate(columns)
    ]
    yield row(tuple(header for header, _ in columns), widths)
    yield " ".join("-" * width for width in widths)
    for cells in rows:
        yield row(cells, widths)


def _cells(row: Figures) -> tuple[str, str, str, str]:
    centre = row.median
    if centre is None:
        return "failed" if row.calls else "n/a", "n/a", "n/a", "n/a"
    first = "n/a" if centre.ttft_s is None else seconds(centre.ttft_s)
    return seconds(centre.time_s), first, f"{centre.tokens:.0f}", dollars(centre.cost_usd)


def _preview(samples: Sequence[Sample]) -> str:
    good = [sample for sample in samples if sample.ok]
    if not good:
        return samples[0].error if samples else "not measured"
    text = printable(good[0].text)
    if not text:
        return f"(no text: {good[0].finish_reason})"
    return text if len(text) <= PREVIEW_CHARACTERS else text[:PREVIEW_CHARACTERS] + "..."


def _failures(run: Run) -> Iterator[str]:
    failed = [sample for sample in run.samples if not sample.ok]
    if failed:
        yield from ("", "FAILED CALLS", RULE)
    for contender in run.contenders:
        for error in dict.fromkeys(sample.error for sample in _of(failed, contender)):
            times = sum(sample.error == error for sample in _of(failed, contender))
            yield f"{heading(run, contender)}, {times}x: {error}"


def _cold(run: Run) -> Iterator[str]:
    if not run.cold:
        return
    yield from ("", "WARM-UP (first calls, not in any figure below or above)", RULE)
    for contender in run.contenders:
        outcomes = [outcome(sample) + _connecting(sample) for sample in _of(run.cold, contender)]
        yield f"{heading(run, contender)}: {', '.join(outcomes)}"


def _connecting(sample: Sample) -> str:
    return "" if sample.connect_ms is None else f" after {sample.connect_ms:.0f} ms to connect"


def _summary(run: Run) -> Iterator[str]:
    yield from ("", "SUMMARY (simulated)" if run.any_simulated else "SUMMARY", RULE)
    for contender in run.contenders:
        found = figures(_of(run.measured, contender))
        yield from ("", f"{heading(run, contender)}:")
        if found.failed:
            yield f"  Failed: {found.failed} of {found.calls} calls; the figures are the others'"
        if found.mean is None:
            yield "  No call succeeded"
        else:
            yield f"  Average Response Time: {seconds(found.mean.time_s)}s"
            yield f"  Average Tokens: {found.mean.tokens:.0f}"
            yield f"  Average Cost: {_priced(found.mean.cost_usd)}"
            yield f"  Cost per 1,000 sessions: {_thousand(found.mean.cost_usd)}"
            yield from spreads(run, contender)


def _verdicts(run: Run) -> Iterator[str]:
    if len(run.contenders) > 1:
        names = {contender: heading(run, contender) for contender in run.contenders}
        yield from ("", "VERDICTS", RULE)
        yield from verdict_lines(run, names)


def _changes(run: Run) -> Iterator[str]:
    if run.baseline:
        names = {contender: heading(run, contender) for contender in run.contenders}
        yield from ("", f"COMPARED WITH {printable(run.baseline.name)}", RULE)
        yield from change_lines(run, names)


def _harness(run: Run) -> Iterator[str]:
    error = harness_error(run)
    yield ""
    if error is None:
        yield "Harness error: not known."
        return
    at = f", {', '.join(map(str, error.at_a_time))} at a time" if any(error.at_a_time) else ""
    yield f"Harness error (this stopwatch held against the simulator, {error.calls} calls{at}):"
    found = (
        ("first token", error.ttft),
        ("inter-token", error.itl),
        ("last token", error.last_token),
    )
    for label, spread in found:
        if spread:
            yield f"  {label}: p50 {spread.p50:.2f} ms, p99 {spread.p99:.2f} ms"
    if error.last_token.p50 > BUSY_MS:
        yield "  This machine is too busy to measure well: see docs/benchmarking.md."


def _advice(run: Run) -> Iterator[str]:
    yield ""
    runs = "1 run tells" if run.plan.runs == 1 else f"{run.plan.runs} runs tell"
    if run.plan.runs < FEW_RUNS:
        yield f"{runs} little: use --runs {FEW_RUNS} before you believe a difference."
    else:
        yield "How to read a verdict: docs/benchmarking.md."


def _thousand(cost: Decimal | None) -> str:
    return "n/a" if cost is None else f"${cost * 1000:.4f}"


def _priced(cost: Decimal | None) -> str:
    return "n/a" if cost is None else f"${dollars(cost)}"


def _of(samples: Sequence[Sample], contender: Contender) -> list[Sample]:
    return [sample for sample in samples if sample.step.contender == contender]
