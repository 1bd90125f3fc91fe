"""`manage.py benchmark` with `--html` and `--schedule`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from benchmarks.models import BenchmarkRun, BenchmarkSchedule
from benchmarks.schedules import start_due
from benchmarks.tests.test_background import key
from credentials.models import LLMCredential

__all__ = ["key"]
pytestmark = pytest.mark.django_db(transaction=True)


def measure(tmp_path: Path, *options: str) -> None:
    call_command(
        "benchmark", "--user", "alice", "--runs", "1", "--warmup", "0", "--yes",
        "--output", str(tmp_path), *options,
    )  # fmt: skip


def test_a_report_is_written_beside_the_results(
    alice: User, key: LLMCredential, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    measure(tmp_path, "--html", str(report))

    page = report.read_text()
    assert page.startswith("<!doctype html>") and "gpt-4o-mini" in page and "<svg" in page
    assert f"Report saved to: {report}" in capsys.readouterr().out


def test_no_line_of_a_log_gets_in_between(
    alice: User, key: LLMCredential, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "usage"):
        measure(tmp_path, "--prompts", "simple")
        assert not [one for one in caplog.records if one.name == "usage.calls"]
        measure(tmp_path, "--prompts", "simple", "--verbosity", "2")
    assert len([one for one in caplog.records if one.name == "usage.calls"]) == 1


def test_a_file_that_can_t_be_written_costs_no_other(
    alice: User, key: LLMCredential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.csv"

    def gone(run: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("benchmarks.command_output.html_report", gone)
    with pytest.raises(CommandError, match="report could not be saved .*: No space left"):
        measure(tmp_path, "--html", str(tmp_path / "report.html"), "--csv", str(path))
    assert path.exists() and list(tmp_path.glob("benchmark_results_*.json"))


def test_a_report_overwrites_nothing(alice: User, key: LLMCredential, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("mine")

    with pytest.raises(CommandError, match="--html: .* exists already"):
        measure(tmp_path, "--html", str(report))
    assert report.read_text() == "mine" and not BenchmarkRun.objects.exists()


def test_a_schedule_is_made_instead_of_a_run(
    alice: User, key: LLMCredential, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(tmp_path, "--schedule", "daily 06:00 Europe/Berlin", "--max-cost", "0.10")

    schedule = BenchmarkSchedule.objects.get()
    assert (schedule.owner, str(schedule.rhythm)) == (alice, "daily at 06:00 Europe/Berlin")
    assert schedule.next_at > timezone.now() and not BenchmarkRun.objects.exists()
    assert f"Schedule {schedule.pk}" in capsys.readouterr().out
    BenchmarkSchedule.objects.update(next_at=timezone.now())
    assert start_due() == 1 and schedule.runs.get().status == "completed"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--schedule", "daily 06:00"], "needs --user and --max-cost"),
        (["--schedule", "sometimes", "--max-cost", "1"], "Write “every 6h”"),
    ],
)
def test_a_schedule_needs_a_limit_and_a_rhythm(
    alice: User, key: LLMCredential, tmp_path: Path, options: list[str], complaint: Any
) -> None:
    with pytest.raises(CommandError, match=complaint):
        measure(tmp_path, *options)
    assert not BenchmarkSchedule.objects.exists()
