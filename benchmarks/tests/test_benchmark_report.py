"""The tables and sentences that a person reads."""

from __future__ import annotations

import io
import re
from typing import Literal

from rich.console import Console

from benchmarks import report
from benchmarks.keys import gather, of_simulator
from benchmarks.plan import Contender
from benchmarks.report_style import styled
from benchmarks.run import Source
from benchmarks.sample import Sample, Truth
from benchmarks.tests.samples import ANTHROPIC, GOOGLE, OPENAI, run_of, sample


def text(*samples: Sample, simulated: bool = False) -> str:
    return "\n".join(report.results(run_of(*samples, simulated=simulated)))


def rows(said: str) -> list[str]:
    lines = said.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("-------"))
    return lines[start + 1 : lines.index("", start)]


def test_the_fastest_provider_comes_first_and_the_failed_one_last() -> None:
    said = text(
        sample(OPENAI, error="OpenAI is overloaded."),
        sample(GOOGLE, seconds=1.45, cost="0.000005"),
        sample(ANTHROPIC, seconds=1.18, cost="0.000014"),
    )

    cells = [line.split() for line in rows(said)]
    assert cells[0] == [
        "Anthropic",
        "claude-haiku-4-5",
        "1.18",
        "0.590",
        "15",
        "0.000014",
        "0",
        "of",
        "1",
    ]
    assert cells[1][:4] == ["Google", "Gemini", "gemini-2.5-flash", "1.45"]
    assert cells[2][:3] == ["OpenAI", "gpt-4o-mini", "failed"]
    assert cells[2][-3:] == ["1", "of", "1"] and "Failed" not in text(sample())


def test_the_table_shows_medians_and_the_summary_averages() -> None:
    said = text(*(sample(seconds=s, run=n) for n, s in enumerate((1.0, 2.0, 6.0))))

    assert rows(said)[0].split()[2] == "2.00"
    assert "OPENAI:\n  Average Response Time: 3.00s\n  Average Tokens: 15\n" in said
    assert "  Average Cost: $0.000010" in said


def test_an_unknown_price_is_not_available() -> None:
    said = text(sample(cost=None))

    assert rows(said)[0].endswith("n/a") and "Average Cost: n/a" in said


def test_a_price_too_small_for_six_decimals_gets_more() -> None:
    assert rows(text(sample(cost="0.000000250")))[0].endswith("0.000000250")


def test_failures_are_said_once_with_their_number() -> None:
    error = "Google Gemini is overloaded."
    said = text(sample(GOOGLE), sample(GOOGLE, error=error), sample(GOOGLE, error=error))

    assert f"GOOGLE, 2x: {error}" in said
    assert "Failed: 2 of 3 calls" in said


def test_simulated_figures_are_marked_wherever_they_are_shown() -> None:
    run = run_of(sample(truth=Truth(499.0, 998.5)), simulated=True)
    said = "\n".join([*report.title(run.any_simulated), *report.results(run)])

    for marked in (
        "BYOM Performance Benchmark (simulated)",
        "nothing here is about real providers",
        "SUMMARY (simulated)",
        "OPENAI (simulated):",
    ):
        assert marked in said
    assert rows(said.split("Benchmark: ")[1])[0].startswith("OpenAI (simulated)")
    assert "last token: p50 1.50 ms, p99 1.50 ms" in said


def test_real_figures_carry_no_such_mark() -> None:
    assert "imulat" not in text(sample())


def test_keys_are_listed_with_the_reason_for_those_that_are_missing() -> None:
    wanted = [Contender("openai", ""), Contender("openai_compatible", "")]
    keys = gather(Source.SIMULATOR, of_simulator("http://mine"), wanted)

    assert list(report.available_keys(keys))[1:3] == [
        "  ✓ OpenAI (simulated)",
        "  ✗ OpenAI-compatible server: skipped, name a model: --models openai_compatible=…",
    ]


def test_few_runs_come_with_a_warning_instead_of_a_verdict() -> None:
    assert "3 runs tell little: use --runs 30" in text(sample())


def test_a_preview_is_one_line_and_can_not_steer_the_terminal() -> None:
    said = text(sample(text="Paris\n\x1b[2J\x07is " + "x" * 200))

    preview = next(line for line in said.splitlines() if line.startswith("  Paris"))
    assert "\x1b" not in said and "\x07" not in said
    assert preview.startswith("  Paris [2J is xxx") and preview.endswith("...")


def test_two_models_of_one_provider_can_be_told_apart() -> None:
    said = text(sample(OPENAI), sample(Contender("openai", "gpt-4o")))

    assert "OPENAI gpt-4o-mini:" in said and "OPENAI gpt-4o:" in said


def test_warm_ups_are_reported_apart() -> None:
    said = text(sample(seconds=9.0, cold=True, connect_ms=31.4), sample(seconds=1.0))

    assert "WARM-UP" in said and "OPENAI: ✓ (9.00s) after 31 ms to connect" in said
    assert "Average Response Time: 1.00s" in said


def test_colours_are_for_terminals_and_change_no_word() -> None:
    lines = ["SUMMARY", "OPENAI:", "  ✓ [bold]Paris[/bold] is faster by 9% (x0.91)", "cost: n/a"]

    for terminal in (True, False):
        out = io.StringIO()
        colours: Literal["standard", "auto"] = "standard" if terminal else "auto"
        console = Console(file=out, force_terminal=terminal, color_system=colours)
        for line in lines:
            console.print(styled(line), soft_wrap=True)
        said = out.getvalue()
        assert ("\x1b[1;32mis faster by 9%" in said) == terminal
        assert re.sub(r"\x1b\[[\d;]*m", "", said).splitlines() == lines
