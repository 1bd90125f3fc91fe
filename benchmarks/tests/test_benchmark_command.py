"""`manage.py benchmark` and `manage.py simulate` from the outside."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import F

from benchmarks.models import BenchmarkRun, BenchmarkSample
from credentials.tests.factories import CredentialFactory
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def benchmark(*arguments: str, output: Path) -> str:
    out = io.StringIO()
    call_command("benchmark", *arguments, "--output", str(output), stdout=out)
    return out.getvalue()


def refusal(*arguments: str, output: Path) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        benchmark(*arguments, output=output)
    return caught.value.returncode, str(caught.value)


def saved(directory: Path) -> dict[str, Any]:
    (path,) = directory.glob("benchmark_results_*.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_simulate_needs_no_key_and_says_so_everywhere(tmp_path: Path) -> None:
    said = benchmark("--simulate", "--runs", "1", "--warmup", "0", output=tmp_path)

    for expected in (
        "BYOM Performance Benchmark (simulated)",
        "✓ Anthropic (simulated)",
        "Running benchmark: Simple Question",
        "Testing google... ✓ (",
        "SUMMARY (simulated)",
        "Harness error",
        "✓ Results saved to: ",
    ):
        assert expected in said
    found = saved(tmp_path)
    assert found["simulated"] and len(found["samples"]) == 9
    assert UsageRecord.objects.filter(surface="benchmark", is_simulated=True).count() == 9
    assert "sim-benchmark" not in json.dumps(found) + said


def test_a_user_is_measured_on_the_keys_that_they_stored(
    alice: User, simulator: Any, tmp_path: Path
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")

    said = benchmark("--user", "alice", "--runs", "1", "--max-tokens", "20", output=tmp_path)

    assert "✗ OpenAI: skipped, alice has no usable key of their own" in said
    assert "Initializing LLMs...\n  ✓ Anthropic: claude-haiku-4-5" in said
    assert {row.user_id for row in UsageRecord.objects.all()} == {alice.pk}
    assert [row["provider"] for row in saved(tmp_path)["plan"]["skipped"]] == ["openai", "google"]


def test_without_any_key_it_says_how_to_go_on(tmp_path: Path) -> None:
    code, said = refusal(output=tmp_path)

    assert code == 2
    for way in ("OPENAI_API_KEY", "--user", "--simulate"):
        assert way in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_user_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    assert refusal("--user", "nobody", output=tmp_path) == (2, "There is no user 'nobody'.")


def test_when_every_call_fails_so_does_the_command(
    settings: Any, simulator: Any, tmp_path: Path
) -> None:
    settings.SYSTEM_KEYS = {"openai": "sk-sim-401-abcdefgh", "google": "", "anthropic": ""}

    code, said = refusal("--runs", "1", output=tmp_path)

    assert code == 1 and said.startswith("All 4 calls failed.") and "OpenAI" in said
    codes = {row["error_code"] for row in saved(tmp_path)["samples"]}
    assert codes == {"authentication_failed"}


def test_one_provider_that_fails_does_not_fail_the_command(
    settings: Any, simulator: Any, tmp_path: Path
) -> None:
    settings.SYSTEM_KEYS = {
        "openai": "sk-sim-503-abcdefgh",
        "google": "AIza-sim-ok-abcdefgh",
        "anthropic": "",
    }

    said = benchmark("--runs", "1", "--warmup", "0", "--max-tokens", "9", output=tmp_path)

    assert "Testing openai... ✗ overloaded" in said
    assert "GOOGLE (simulated):\n  Average Response Time" in said


def test_it_stops_rather_than_pay_more_than_it_may(tmp_path: Path) -> None:
    limits = ("--max-cost", "0.0002", "--max-tokens", "100", "--concurrency", "4")

    code, said = refusal("--simulate", "--providers", "openai", *limits, output=tmp_path)

    found = saved(tmp_path)
    assert code == 3 and "--max-cost" in said and found["status"] == "out_of_money"
    spent = sum(row.cost_usd or 0 for row in UsageRecord.objects.all())
    assert 0 < spent <= Decimal("0.0002")
    assert 0 < len(found["samples"]) == UsageRecord.objects.count() < 10


def test_a_run_is_kept_and_can_be_compared_with(tmp_path: Path) -> None:
    options = ("--simulate", "--providers", "google", "--runs", "1")
    benchmark(*options, output=tmp_path)
    earlier = BenchmarkRun.objects.get()

    said = benchmark(
        *options, "--compare", str(earlier.pk), "--fail-on-regression", output=tmp_path
    )

    assert f"COMPARED WITH {earlier.pk}" in said and "too few calls to tell" in said
    assert earlier.is_simulated and earlier.samples.count() == 4
    assert refusal(*options, "--fail-on-regression", output=tmp_path)[0] == 2
    code, reason = refusal(*options, "--compare", "nothing.json", output=tmp_path)
    assert (code, reason) == (
        2,
        "--compare: nothing.json can't be read: No such file or directory.",
    )


def test_a_regression_fails_the_command_where_that_is_asked_for(tmp_path: Path) -> None:
    options = ("--simulate", "--providers", "google", "--runs", "3")
    benchmark(*options, output=tmp_path)
    BenchmarkSample.objects.update(latency_ms=F("latency_ms") / 20)
    compared = ("--compare", str(BenchmarkRun.objects.get().pk))

    code, said = refusal(*options, *compared, "--fail-on-regression", output=tmp_path)

    assert (code, said) == (1, "Something has become slower or dearer.")


def test_a_limit_can_not_be_kept_where_a_price_is_unknown(tmp_path: Path) -> None:
    models = ("--providers", "openai", "--models", "openai=my-own-model")

    code, said = refusal("--simulate", *models, "--max-cost", "1", output=tmp_path)

    assert code == 2 and "no price is known for my-own-model" in said


def test_calls_go_into_a_csv_file_too_and_never_over_one(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    options = ("--simulate", "--providers", "google", "--runs", "1", "--csv", str(path))

    said = benchmark(*options, "--slo", "ttft=60000", output=tmp_path)

    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [row["provider"] for row in rows] == ["google"] * 4
    assert "Planned: 4 calls, for at most $" in said and "goodput: 100% of 3 calls" in said
    assert refusal(*options, output=tmp_path)[0] == 2


def command(*arguments: str, var: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "BYOM_VAR_DIR": str(var), "DATABASE_URL": ""}
    environment["DJANGO_SETTINGS_MODULE"] = "byom.settings"
    return subprocess.Popen(
        [sys.executable, str(django_settings.BASE_DIR / "manage.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_a_database_without_tables_is_told_in_a_sentence(tmp_path: Path) -> None:
    with command("benchmark", "--simulate", var=tmp_path) as process:
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "manage.py migrate" in errors and "Traceback" not in errors


def test_simulate_serves_and_prints_where_and_with_which_keys(tmp_path: Path) -> None:
    with command("simulate", "--port", "0", "--tokens", "3", var=tmp_path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        url, key = lines[2].split()[1], lines[2].split()[-1]
        answer = httpx2.post(
            f"{url}/chat/completions",
            headers={"authorization": f"Bearer {key}"},
            json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
        )
        process.terminate()
        process.communicate(timeout=60)

    assert lines[2].split()[0] == "OpenAI" and "AIza-sim-" in lines[4]
    assert answer.json()["usage"]["completion_tokens"] == 3
