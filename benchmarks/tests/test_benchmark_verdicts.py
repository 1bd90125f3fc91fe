"""Contenders two by two: what is matched, what is said about it, and what a run may cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.budget import most_of_call, most_of_plan
from benchmarks.csv_file import save_csv
from benchmarks.plan import Contender, Plan
from benchmarks.prompts import PROMPTS
from benchmarks.results import document
from benchmarks.sample import Sample, Truth
from benchmarks.slo import Slo, read_slo
from benchmarks.tests.samples import ANTHROPIC, GOOGLE, OPENAI, run_of, sample
from benchmarks.tokens import count_tokens
from benchmarks.verdicts import verdicts


def rounds(contender: Contender, seconds: float, count: int = 20, **more: object) -> list[Sample]:
    return [
        sample(contender, seconds=seconds + run / 100, run=run, **more)  # type: ignore[arg-type]
        for run in range(1, count + 1)
    ]


def test_the_faster_and_the_cheaper_one_are_named() -> None:
    run = run_of(*rounds(OPENAI, 1.0, cost="0.02"), *rounds(GOOGLE, 2.0, cost="0.01"))

    assert [found.word for found in verdicts(run)] == ["faster", "faster", "dearer"]
    said = "\n".join(report.results(run))
    assert "OPENAI compared with GOOGLE:\n  response time: OPENAI is faster by 4" in said


def test_only_calls_of_the_same_round_are_compared_and_the_others_counted() -> None:
    slow = [sample(GOOGLE, seconds=9, run=run, error="overloaded") for run in (1, 2)]
    run = run_of(*rounds(OPENAI, 1.0), *slow, *rounds(GOOGLE, 1.0)[2:])

    time = verdicts(run)[0]
    assert time.comparison is not None
    assert (time.comparison.pairs, time.unmatched, time.word) == (18, 2, "no_difference")


def test_nothing_is_said_where_there_is_nothing_to_compare() -> None:
    run = run_of(*rounds(OPENAI, 1.0, cost=None), *rounds(GOOGLE, 1.0, cost=None))

    assert verdicts(run)[2].word == "not_available"
    assert "cost: n/a" in "\n".join(report.results(run))
    assert verdicts(run_of(*rounds(OPENAI, 1.0))) == []


def test_a_stopwatch_coarser_than_the_difference_gives_no_verdict() -> None:
    truth = Truth(1.0, 1.0)  # hundreds of milliseconds off
    run = run_of(*rounds(OPENAI, 0.9, truth=truth), *rounds(GOOGLE, 1.0, truth=truth))

    assert verdicts(run)[0].word == "refused"
    assert "the error of the stopwatch" in "\n".join(report.results(run))


def test_the_file_holds_a_verdict_for_each_metric_and_pair() -> None:
    run = run_of(sample(OPENAI), sample(GOOGLE), sample(ANTHROPIC))

    found = document(run)["verdicts"]
    assert len(found) == 9
    assert {row["verdict"] for row in found} == {"inconclusive"}
    assert all(row["pairs"] == 1 and row["more_runs"] for row in found)


def test_goodput_counts_failures_as_too_slow() -> None:
    slo = read_slo("ttft=600, e2e=1000")
    samples = [
        sample(seconds=1.0),
        sample(seconds=1.2),
        sample(seconds=1.1),
        sample(error="overloaded"),
    ]

    assert slo == Slo(ttft=600, e2e=1000) and str(slo) == "ttft=600,e2e=1000"
    assert slo.goodput(samples) == 0.25
    assert read_slo("ttft=551").goodput(samples) == 0.5


@pytest.mark.django_db
def test_the_most_that_a_plan_can_cost_is_the_sum_of_its_calls() -> None:
    plan = Plan(contenders=(OPENAI,), seed=1, prompts=PROMPTS[:1], runs=2, warmup=1)
    one = most_of_call(OPENAI, PROMPTS[0], plan.max_tokens)

    assert one is not None and most_of_plan(plan) == 3 * one
    unknown = replace(plan, contenders=(OPENAI, Contender("openai", "my-own-model")))
    assert most_of_plan(unknown) is None


def test_a_cell_of_the_csv_file_is_never_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    save_csv(path, run_of(sample(text='=HYPERLINK("x")')))

    assert "'=HYPERLINK" in path.read_text("utf-8")


def test_what_a_right_answer_costs_is_what_all_of_them_cost() -> None:
    right = [sample(cost="0.002", passed=True), sample(cost="0.002", run=2, passed=True)]
    wrong = [sample(cost="0.001", run=3, passed=False, failed_checks=("exact 1",))]
    run = run_of(*right, *wrong)

    (entry,) = [row for row in document(run)["summary"] if row["prompt"] is None]
    assert (entry["checked"], entry["passed"]) == (3, 2)
    assert entry["cost_per_passed_usd"] == "0.002500000"
    assert "checks: 2 of 3 passed, $0.002500 for each that did" in "\n".join(report.results(run))


def test_more_tokens_than_the_text_has_are_told() -> None:
    as_counted, twice = sample(counted_tokens=5), sample(GOOGLE, counted_tokens=2)

    said = "\n".join(report.results(run_of(as_counted, twice)))
    assert said.count("of the tokens that we count in its texts") == 1
    assert "warning: 250% of the tokens" in said


def test_a_sweep_tells_the_times_of_each_number_of_calls() -> None:
    calls = [
        replace(one, step=replace(one.step, level=level))
        for level, time in ((1, 1.0), (16, 3.0))
        for one in [sample(seconds=time)]
    ]
    run = run_of(*calls)
    run.plan = replace(run.plan, levels=(1, 16))

    swept = document(run)["sweep"]
    assert [(row["concurrency"], row["mean"]["time_s"]) for row in swept] == [(1, 1.0), (16, 3.0)]
    lines = "\n".join(report.results(run)).split("CALLS AT A TIME")[1].splitlines()
    assert [line.split() for line in lines[4:7]] == [
        ["At", "a", "time", "Calls", "Failed", "Time", "(s)", "First", "(s)", "Tokens/s"],
        ["1", "1", "0", "1.00", "0.500", "5"],
        ["16", "1", "0", "3.00", "1.50", "2"],
    ]


def test_each_number_of_calls_at_a_time_has_its_verdicts() -> None:
    def taken(level: int, openai: float, google: float) -> list[Sample]:
        calls = [*rounds(OPENAI, openai, cost="0.02"), *rounds(GOOGLE, google, cost="0.01")]
        return [replace(one, step=replace(one.step, level=level)) for one in calls]

    run = run_of(*taken(1, 1.0, 2.0), *taken(16, 2.0, 1.0))
    run.plan = replace(run.plan, levels=(1, 16))

    found = [(row["metric"], row["concurrency"], row["verdict"], row["pairs"])
             for row in document(run)["verdicts"]]  # fmt: skip
    assert found == [
        ("latency_ms", 1, "faster", 20),
        ("latency_ms", 16, "slower", 20),
        ("ttft_ms", 1, "faster", 20),
        ("ttft_ms", 16, "slower", 20),
        ("cost_usd", None, "dearer", 40),
    ]
    said = "\n".join(report.results(run))
    assert "  response time, 16 at a time: OPENAI is slower by" in said


def test_a_verdict_is_refused_by_the_error_at_its_own_number_of_calls() -> None:
    good, bad = Truth(500.0, 1000.0), Truth(1.0, 1.0)
    calls = [
        replace(one, step=replace(one.step, level=level))
        for level, truth in ((1, good), (16, bad))
        for one in (*rounds(OPENAI, 0.9, truth=truth), *rounds(GOOGLE, 1.0, truth=truth))
    ]
    run = run_of(*calls)
    run.plan = replace(run.plan, levels=(1, 16))

    words = {one.level: one.word for one in verdicts(run) if one.metric.field == "latency_ms"}
    assert words[16] == "refused" and words[1] != "refused"


def test_the_prices_that_were_used_are_told_with_their_source_and_day() -> None:
    taken = sample()
    bill = replace(taken.bill, unit_prices={"input_mtok": "0.15"}, price_source="genai-prices 1")

    (row,) = document(run_of(replace(taken, bill=bill)))["prices"]
    assert (row["provider"], row["price_source"]) == ("openai", "genai-prices 1")
    assert (row["as_of"], row["unit_prices"]) == ("2025-01-17", {"input_mtok": "0.15"})


def test_tokens_are_counted_in_english_only() -> None:
    english = (
        "When you type a password on a website that uses HTTPS, your browser and the server first "
        "perform a TLS handshake. The server proves its identity with a certificate, and both "
        "sides agree on a shared secret key."
    )

    counted = count_tokens(english)  # cl100k has 42
    assert counted is not None and abs(counted - 42) <= 4
    assert count_tokens("Die Hauptstadt von Frankreich ist Paris, wie jeder weiß. " * 5) is None
    assert count_tokens("Paris") is None
