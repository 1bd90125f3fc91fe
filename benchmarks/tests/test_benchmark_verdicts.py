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
