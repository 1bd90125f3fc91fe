"""Runs that are kept, and comparing a run with an earlier one."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from benchmarks import report, store
from benchmarks.baseline import BadBaseline, Question, load
from benchmarks.changes import changes
from benchmarks.models import BenchmarkRun, RunStatus
from benchmarks.results import document
from benchmarks.run import Run
from benchmarks.tests.samples import OPENAI, kept, run_of, sample

pytestmark = pytest.mark.django_db


def a_run(seconds: float = 1.0, calls: int = 12, owner: User | None = None) -> Run:
    samples = [sample(seconds=seconds + at / 100, run=at) for at in range(1, calls + 1)]
    run = run_of(sample(seconds=9, cold=True), *samples)
    run.owner_id = owner.pk if owner else None
    return run


def test_a_run_is_kept_with_a_row_per_call(alice: User) -> None:
    run = a_run(owner=alice)

    row = BenchmarkRun.objects.get(pk=kept(run).pk)

    assert (row.owner, row.status, row.schema_version) == (alice, "completed", 4)
    assert row.summary == document(run)["summary"] and row.plan["seed"] == 7
    assert row.done == 13 and row.finished_at is not None
    rows = list(row.samples.all())
    assert [row.order for row in rows] == [row.block for row in rows] == list(range(13))
    assert [row.is_cold for row in rows] == [True] + [False] * 12
    assert rows[1].record_id == run.samples[1].record_id and rows[1].latency_ms == 1010


def test_what_the_database_keeps_of_a_run_is_all_that_is_known_of_it() -> None:
    run = a_run()
    row = kept(run)

    assert store.run_of(row.pk).samples == run.samples
    assert document(store.run_of(row.pk))["summary"] == row.summary


def test_a_call_far_from_the_others_is_flagged_once_the_run_is_over() -> None:
    run = a_run()
    run.samples.append(replace(run.samples[-1], latency_ms=60_000.0, record_id=uuid.uuid4()))

    rows = list(kept(run).samples.all())

    assert [row.is_outlier for row in rows] == [False] * 13 + [True]


@pytest.mark.parametrize("status", [RunStatus.OUT_OF_MONEY, RunStatus.INTERRUPTED])
def test_how_a_run_ended_is_kept(status: RunStatus) -> None:
    assert kept(a_run(), status).status == status


def test_a_slower_run_is_a_regression_of_the_earlier_one() -> None:
    now, before = a_run(1.5), kept(a_run(1.0))
    now.baseline = load(str(before.pk), owner_id=None)

    found = {one.metric.field: one.word for one in changes(now)}
    assert found == {
        "latency_ms": "regression",
        "ttft_ms": "regression",
        "cost_usd": "no_change",
    }
    said = "\n".join(report.results(now))
    assert f"COMPARED WITH {before.pk}" in said and "response time: slower by 47% (x1.47" in said


def test_a_file_of_results_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(document(a_run(1.5))))
    now = a_run(1.0)
    now.baseline = load(str(path), owner_id=None)

    found = document(now)
    assert found["compared_with"] == "before.json"
    assert found["changes"][0]["change"] == "improvement"
    assert (found["changes"][0]["calls"], found["changes"][0]["calls_before"]) == (12, 12)


def test_calls_compare_with_those_that_had_as_many_beside_them() -> None:
    run, other = a_run(), a_run()
    other.samples = [replace(one, step=replace(one.step, level=16)) for one in other.samples]
    run.baseline = load(str(kept(other).pk), owner_id=None)

    assert {(one.word, one.before) for one in changes(run)} == {("too_few_calls", 0)}


def test_calls_at_one_rate_do_not_compare_with_those_at_another(tmp_path: Path) -> None:
    def at_rate(rate: float) -> Run:
        run = a_run()
        run.plan = replace(run.plan, rate=rate)
        run.samples = [replace(one, step=replace(one.step, level=0)) for one in run.samples]
        return run

    path = tmp_path / "before.json"
    path.write_text(json.dumps(document(at_rate(5))))
    for rate, before in ((5.0, 12), (2.0, 0)):
        run = at_rate(rate)
        for name in (str(kept(at_rate(5)).pk), str(path)):
            run.baseline = load(name, owner_id=None)
            assert {one.before for one in changes(run)} == {before}


def test_few_calls_are_not_compared() -> None:
    now, before = a_run(9.0, calls=7), kept(a_run(1.0))
    now.baseline = load(str(before.pk), owner_id=None)

    assert {one.word for one in changes(now)} == {"too_few_calls"}
    assert "too few calls to tell (7 now, 12 before)" in "\n".join(report.results(now))


def test_nobody_compares_with_the_run_of_another(alice: User, bob: User) -> None:
    theirs = str(kept(a_run(owner=bob)).pk)

    for owner_id in (alice.pk, None):
        with pytest.raises(BadBaseline, match="There is no run"):
            load(theirs, owner_id=owner_id)
    assert load(theirs, owner_id=bob.pk).values[
        OPENAI, Question("Simple Question", 1), "latency_ms"
    ]


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"schema": "byom-benchmark"}'])
def test_what_is_no_file_of_results_is_refused_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)

    with pytest.raises(BadBaseline, match=r"other\.json holds no results"):
        load(str(tmp_path / "other.json"), owner_id=None)
    with pytest.raises(BadBaseline, match=r"nothing\.json can't be read"):
        load(str(tmp_path / "nothing.json"), owner_id=None)
