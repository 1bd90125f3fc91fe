"""The file of results: what is in it, and that it is never lost nor overwritten."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.baseline import Baseline
from benchmarks.checks import Check, Kind
from benchmarks.prompts import PROMPTS
from benchmarks.result_files import BadOutput, destination, save
from benchmarks.results import document
from benchmarks.sample import Bill, Truth
from benchmarks.slo import Slo
from benchmarks.tests.samples import ANTHROPIC, OPENAI, STARTED, run_of, sample

NAME = "benchmark_results_20250117_143522.json"


def test_the_name_says_when_it_began(tmp_path: Path) -> None:
    assert destination(str(tmp_path), STARTED) == tmp_path / NAME


def test_a_name_without_json_is_a_directory_and_is_made(tmp_path: Path) -> None:
    assert destination(str(tmp_path / "a" / "b"), STARTED) == tmp_path / "a" / "b" / NAME


def test_a_second_run_in_the_same_second_gets_another_name(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()

    assert destination(str(tmp_path), STARTED).stem.endswith("_143522_2")


def test_a_file_that_exists_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("precious")

    with pytest.raises(BadOutput, match="never overwritten"):
        destination(str(tmp_path / "mine.json"), STARTED)


def test_a_directory_that_does_not_exist_is_refused_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="not a directory"):
        destination(str(tmp_path / "nowhere" / "mine.json"), STARTED)


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = destination(str(tmp_path / "mine.json"), STARTED)
    path.write_text("precious")

    assert save(path, {"a": "é"}) == tmp_path / "mine_2.json"
    assert path.read_text() == "precious"
    assert json.loads((tmp_path / "mine_2.json").read_text("utf-8")) == {"a": "é"}


def test_a_document_that_can_not_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(tmp_path / "mine.json", {"a": object()})

    assert list(tmp_path.iterdir()) == []


def test_a_sample_says_what_was_asked_and_what_came() -> None:
    taken = sample(seconds=0.998, truth=Truth(480.0, 990.0), ttft_ms=498.0)
    (row,) = document(run_of(taken, simulated=True))["samples"]

    assert (row["provider"], row["model"]) == ("openai", "gpt-4o-mini")
    assert (row["prompt"], row["run"], row["cold"]) == ("Simple Question", 1, False)
    assert (row["time_s"], row["latency_ms"], row["ttft_ms"]) == (0.998, 998.0, 498.0)
    assert (row["true_latency_ms"], row["true_ttft_ms"]) == (990.0, 480.0)
    assert (row["cost_usd"], row["status"]) == ("0.000010", "ok")
    assert row["record_id"] == str(taken.record_id)


def test_an_unknown_price_is_null_and_never_zero() -> None:
    found = document(run_of(sample(cost=None), sample(cost="0.5", run=2)))

    assert [row["cost_usd"] for row in found["samples"]] == [None, "0.5"]
    assert all(entry["mean"]["cost_usd"] is None for entry in found["summary"] if entry["mean"])


def test_warm_ups_are_rows_but_in_no_summary() -> None:
    found = document(run_of(sample(seconds=9, cold=True), sample(seconds=1)))

    assert len(found["samples"]) == 2
    entry = found["summary"][-1]
    assert (entry["prompt"], entry["calls"], entry["mean"]["time_s"]) == (None, 1, 1.0)


def test_failures_are_counted_and_have_no_part_in_the_figures() -> None:
    slow = sample(ANTHROPIC, seconds=60, error="Anthropic is overloaded.", run=2)
    entry = document(run_of(sample(ANTHROPIC), slow))["summary"][0]

    assert (entry["prompt"], entry["calls"], entry["failed"]) == (PROMPTS[0].name, 2, 1)
    assert entry["median"]["time_s"] == 1.0


def test_keys_are_taken_out_of_what_models_and_providers_say() -> None:
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz"
    run = run_of(sample(text=f"your key is {key}"), sample(error=f"bad key {key}"))
    run.refused[ANTHROPIC] = f"can't use {key}"

    assert key not in json.dumps(document(run))


def test_the_reference_describes_every_field() -> None:
    text = (settings.BASE_DIR / "docs/reference/benchmark-json.md").read_text("utf-8")
    described = set(re.findall(r"`(\w[\w-]*)`", text))
    bill = Bill(unit_prices={"input_mtok": "1"}, price_source="somewhere")
    samples = [sample(one, truth=Truth(1.0, 2.0), bill=bill) for one in (OPENAI, ANTHROPIC)]
    run = run_of(*samples, simulated=True)
    asked = replace(PROMPTS[0], checks=(Check(Kind.EXACT, "Paris"),))
    run.plan = replace(run.plan, prompts=(asked,), slo=Slo(ttft=1.0))
    run.baseline = Baseline("before", {})
    found = document(run)

    plan, (first, *_) = found["plan"], found["summary"]
    rows = [*found["samples"], *found["summary"], *found["verdicts"], *found["changes"]]
    parts = [found, plan, found["environment"], *rows, *found["prices"]]
    parts += [*plan["contenders"], *plan["prompts"], plan["prompts"][0]["checks"][0], plan["slo"]]
    parts += [first["mean"], first["latency_ms"], first["latency_ms"]["p50"]]
    parts += [found["harness_error_ms"], found["harness_error_ms"]["ttft"]]
    assert {name for part in parts for name in part} - described == set()
