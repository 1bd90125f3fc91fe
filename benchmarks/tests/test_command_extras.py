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
