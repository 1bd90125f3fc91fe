"""`/api/v1/benchmarks/runs` and `/schedules`: what programs do with benchmarks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from benchmarks import store
from benchmarks.models import BenchmarkRun, BenchmarkSchedule, RunStatus
from benchmarks.run import Source
from benchmarks.starting import create
from benchmarks.tests.test_background import key, plan_of
from byom.tests.test_ownership import whole
from credentials.models import AccessToken, LLMCredential
from credentials.tests.factories import CredentialFactory
from usage.models import UsageRecord

__all__ = ["key"]
pytestmark = pytest.mark.django_db
RUNS = "/api/v1/benchmarks/runs"
SCHEDULES = "/api/v1/benchmarks/schedules"


def body(key: LLMCredential, **changes: Any) -> dict[str, Any]:
    return {
        "contenders": [
            {"provider": "openai", "model": "gpt-4o-mini", "credential_id": str(key.pk)}
        ],
        "prompts": ["Simple Question", {"name": "Sum", "text": "What is 6*7?"}],
        "runs": 2,
        "warmup": 0,
        "max_tokens": 64,
        "max_cost_usd": "0.05",
        **changes,
    }


@pytest.mark.django_db(transaction=True)
def test_a_program_starts_a_run_and_reads_it(
    alice: User, api: APIClient, key: LLMCredential
) -> None:
    made = api.post(RUNS, body(key), format="json")

    assert made.status_code == 201, made.json()
    run = api.get(f"{RUNS}/{made.json()['id']}").json()
    assert (run["status"], run["done"], run["total"]) == ("completed", 4, 4)
    assert run["summary"] and run["plan"]["max_cost_usd"] == "0.050000"
    assert [prompt["name"] for prompt in run["plan"]["prompts"]] == ["Simple Question", "Sum"]
    samples = api.get(f"{RUNS}/{run['id']}/samples").json()
    assert samples["count"] == 4 and samples["results"][0]["credential_id"] == str(key.pk)
    assert {one.access_token.name for one in UsageRecord.objects.all() if one.access_token} == {
        "test"
    }


@pytest.mark.django_db(transaction=True)
def test_a_program_may_ask_for_what_the_command_may(api: APIClient, key: LLMCredential) -> None:
    own = {"name": "Sum", "text": "What is 6*7?", "exact": "42", "system": "Be short."}
    asked = body(key, prompts=["simple", own], stream=False, rate=30, slo={"e2e_ms": 60000}, seed=7)
    plan = api.post(RUNS, asked, format="json").json()["plan"]

    assert [prompt["name"] for prompt in plan["prompts"]] == ["Simple Question", "Sum"]
    assert plan["prompts"][1]["checks"] == [{"kind": "exact", "value": "42"}]
    assert plan["slo"] == {"ttft_ms": None, "e2e_ms": 60000.0}
    assert (plan["stream"], plan["rate"], plan["seed"]) == (False, 30.0, 7)


@pytest.mark.django_db(transaction=True)
def test_a_run_is_shared_by_workers(api: APIClient, key: LLMCredential) -> None:
    asked = body(key, workers=2, concurrency=[2], runs=4, warmup=1)
    run = BenchmarkRun.objects.get(pk=api.post(RUNS, asked, format="json").json()["id"])

    assert (run.status, run.done) == ("completed", 10)
    assert [shard.ended_as for shard in run.shards.all()] == ["completed", "completed"]
    assert run.samples.values("order").distinct().count() == 10


def test_an_estimate_starts_nothing(api: APIClient, key: LLMCredential) -> None:
    found = api.post(f"{RUNS}/estimate", body(key, runs=100), format="json").json()

    assert found["calls"] == 200 and 0 < float(found["most_cost_usd"]) < 0.05
    assert found["max_cost_usd"] == "0.050000" and found["skipped"] == {}
    assert not BenchmarkRun.objects.exists()


@pytest.mark.parametrize(
    ("changes", "status", "named"),
    [
        ({"max_cost_usd": None}, 400, "max_cost_usd"),
        ({"max_cost_usd": "0"}, 400, "max_cost_usd"),
        ({"max_cost_usd": "0.000001"}, 400, "limit_too_low"),
        ({"contenders": []}, 400, "contenders"),
        ({"contenders": [{"provider": "nobody"}]}, 400, "unknown_provider"),
        ({"contenders": [{"provider": "anthropic"}]}, 409, "no_credential"),
        ({"prompts": ["Unheard of"]}, 400, "prompts"),
        ({"prompts": [{"name": "x", "text": "y", "z": 1}]}, 400, "prompts"),
        ({"prompts": [{"name": "x", "text": "y"}] * 2}, 400, "prompts"),
        ({"runs": 0}, 400, "runs"),
        ({"runs": 10_000, "concurrency": [1, 2]}, 400, "too_large"),
        ({"concurrency": [0]}, 400, "concurrency"),
        ({"keys": "environment"}, 400, "keys"),
        ({"workers": 4, "concurrency": [2, 8]}, 400, "workers"),
        ({"concurrency": [65]}, 400, "too_large"),
        ({"rate": 2, "concurrency": [2]}, 400, "rate"),
        ({"rate": -1}, 400, "rate"),
        ({"timeout_s": 0}, 400, "timeout_s"),
        ({"slo": {"ttft_ms": 0}}, 400, "slo"),
        ({"slo": {"ttft_ms": 500}, "stream": False}, 400, "slo"),
        ({"seed": -1}, 400, "seed"),
        ({"prompts": [{"text": "y", "regex": "(?=a)"}]}, 400, "RE2"),
        ({"prompts": [{"text": "y\0"}]}, 400, "no character"),
        ({"prompts": [{"text": "y"}, {"text": "z"}]}, 400, "two prompts"),
    ],
)
def test_what_can_not_be_started_is_refused_in_words(
    api: APIClient, key: LLMCredential, changes: dict[str, Any], status: int, named: str
) -> None:
    response = api.post(RUNS, body(key, **changes), format="json")

    assert response.status_code == status and named in json.dumps(response.json())
    assert not BenchmarkRun.objects.exists()


def test_a_run_needs_a_limit_of_cost(api: APIClient, key: LLMCredential) -> None:
    asked = body(key)
    del asked["max_cost_usd"]

    assert api.post(RUNS, asked, format="json").json()["fields"]["max_cost_usd"]


@pytest.fixture
def waiting(alice: User, key: LLMCredential) -> BenchmarkRun:
    return create(plan=plan_of(key), source=Source.USER, user=alice)


@pytest.mark.django_db(transaction=True)
def test_a_run_is_cancelled_and_resumed(api: APIClient, waiting: BenchmarkRun) -> None:
    address = f"{RUNS}/{waiting.pk}"
    cancelled = api.post(f"{address}/cancel")
    again = api.post(f"{address}/cancel")
    resumed = api.post(f"{address}/resume", {"max_cost_usd": "0.06"}, format="json")
    too_often = api.post(f"{address}/resume")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "completed")
    assert resumed.json()["plan"]["max_cost_usd"] == "0.060000"
    assert too_often.status_code == 409 and "Nothing is left to do" in str(too_often.json())


def test_a_run_in_somebodys_hands_stops_after_its_calls(
    api: APIClient, waiting: BenchmarkRun
) -> None:
    store.take(waiting.pk)

    response = api.post(f"{RUNS}/{waiting.pk}/cancel")
    assert response.status_code == 202 and response.json()["cancel_requested"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["json", "csv", "jsonl", "html"])
def test_a_run_is_exported(api: APIClient, key: LLMCredential, kind: str) -> None:
    run = api.post(RUNS, body(key), format="json").json()["id"]

    response = api.get(f"{RUNS}/{run}/export?as={kind}")

    text = whole(response)
    assert response["Content-Disposition"].endswith(f'{run[:8]}.{kind}"')
    if kind == "csv":
        assert len(list(csv.DictReader(io.StringIO(text)))) == 4
    elif kind == "jsonl":
        assert [json.loads(line)["order"] for line in text.splitlines()] == [0, 1, 2, 3]
    elif kind == "json":
        document = json.loads(text)
        assert document["schema"] == "byom-benchmark" and len(document["samples"]) == 4
    else:
        assert text.startswith("<!doctype html>") and "<script" not in text


def test_another_kind_of_export_is_refused(api: APIClient, waiting: BenchmarkRun) -> None:
    assert api.get(f"{RUNS}/{waiting.pk}/export?as=pdf").status_code == 400


def test_a_token_without_the_scope_does_nothing(
    alice: User, key: LLMCredential, waiting: BenchmarkRun
) -> None:
    _, secret = AccessToken.issue(user=alice, name="ci", scopes=["usage:read", "agents"])
    api = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")

    for address in (RUNS, f"{RUNS}/estimate", f"{RUNS}/{waiting.pk}/cancel", SCHEDULES):
        assert api.post(address, body(key), format="json").status_code == 403
    for address in (RUNS, f"{RUNS}/{waiting.pk}/export", SCHEDULES):
        assert api.get(address).status_code == 403


def test_a_pinned_token_measures_with_its_key(
    alice: User, key: LLMCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.tasks.execute", lambda run_id: None)
    other = CredentialFactory.create(owner=alice, provider="google", key="AIza-sim-1234567890")
    _, secret = AccessToken.issue(user=alice, name="ci", credential=key)
    api = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")

    own = api.post(RUNS, body(key, contenders=[{"provider": "openai"}]), format="json")
    named = {"provider": "google", "credential_id": str(other.pk)}
    refused = api.post(RUNS, body(key, contenders=[named]), format="json")

    assert own.json()["plan"]["contenders"][0]["credential"] == str(key.pk)
    assert (refused.status_code, refused.json()["code"]) == (403, "other_key")


def test_runs_of_others_are_not_there(
    bob: User, api_as: Callable[[User], APIClient], waiting: BenchmarkRun
) -> None:
    theirs = api_as(bob)

    assert theirs.get(RUNS).json()["count"] == 0
    for verb, path in (
        ("get", ""), ("get", "/samples"), ("get", "/export"), ("post", "/cancel"),
        ("post", "/resume"),
    ):  # fmt: skip
        assert getattr(theirs, verb)(f"{RUNS}/{waiting.pk}{path}").status_code == 404
    waiting.refresh_from_db()
    assert waiting.status == RunStatus.PENDING and not waiting.cancel_requested


def a_schedule(key: LLMCredential, **changes: Any) -> dict[str, Any]:
    rhythm = {"name": "Mornings", "every": "day", "at": "06:30", "time_zone": "Europe/Berlin"}
    return {**rhythm, "run": body(key), **changes}


def test_a_program_makes_changes_and_deletes_a_schedule(
    alice: User, api: APIClient, key: LLMCredential
) -> None:
    made = api.post(SCHEDULES, a_schedule(key), format="json")
    assert made.status_code == 201, made.json()
    row = BenchmarkSchedule.objects.get()
    assert row.owner == alice and row.access_token and row.plan["runs"] == 2
    assert row.next_at == row.rhythm.after(timezone.now())

    address = f"{SCHEDULES}/{row.pk}"
    changed = api.patch(address, {"every": "hours", "hours": 2}, format="json").json()
    later = timezone.now() + timedelta(hours=2)
    assert changed["every"] == "hours" and changed["next_at"][:15] == later.isoformat()[:15]
    switched = api.patch(address, {"is_active": False}, format="json").json()
    assert not switched["is_active"] and switched["last_run_id"] is None
    api.patch(address, {"run": body(key, runs=5)}, format="json")
    row.refresh_from_db()
    assert row.plan["runs"] == 5

    assert api.get(SCHEDULES).json()["count"] == 1
    assert api.delete(address).status_code == 204 and not BenchmarkSchedule.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [{"time_zone": "Mars/Base"}, {"hours": 0}, {"every": "minute"}, {"run": {}}, {"weekday": 7}],
)
def test_a_schedule_with_a_mistake_is_refused(
    api: APIClient, key: LLMCredential, changes: dict[str, Any]
) -> None:
    response = api.post(SCHEDULES, a_schedule(key, **changes), format="json")

    assert response.status_code == 400 and not BenchmarkSchedule.objects.exists()


def test_schedules_of_others_are_not_there(
    bob: User, api: APIClient, api_as: Callable[[User], APIClient], key: LLMCredential
) -> None:
    pk = api.post(SCHEDULES, a_schedule(key), format="json").json()["id"]
    theirs = api_as(bob)

    assert theirs.get(SCHEDULES).json()["count"] == 0
    for verb in ("get", "patch", "put", "delete"):
        found = getattr(theirs, verb)(f"{SCHEDULES}/{pk}", {}, format="json")
        assert found.status_code == 404
    assert BenchmarkSchedule.objects.filter(pk=pk).exists()
