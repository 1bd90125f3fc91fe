"""Starting, watching, stopping and going on with runs, and schedules, from pages."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from benchmarks import store
from benchmarks.models import BenchmarkRun, BenchmarkSchedule, BenchmarkShard, RunStatus
from benchmarks.prompts import PROMPTS
from benchmarks.run import Source
from benchmarks.starting import create
from benchmarks.tests.test_background import key, plan_of
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory

__all__ = ["key"]
EVERY_PROMPT = [prompt.name for prompt in PROMPTS]
pytestmark = pytest.mark.django_db


@pytest.fixture
def signed_in(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def filled_in(key: LLMCredential, **changes: Any) -> dict[str, Any]:
    return {
        f"key_{key.pk}": "on",
        f"models_{key.pk}": "gpt-4o-mini",
        "prompts": ["Simple Question"],
        "runs": 2,
        "warmup": 0,
        "stream": "on",
        "timeout": 120,
        "workers": 1,
        "concurrency": "1",
        "max_tokens": 64,
        "max_cost": "0.05",
        **changes,
    }


def file_of(content: bytes) -> Any:
    return SimpleUploadedFile("mine.yaml", content)


@pytest.mark.django_db(transaction=True)
def test_the_page_takes_what_the_command_takes(key: LLMCredential, signed_in: Client) -> None:
    sent = filled_in(
        key,
        prompts=[],
        prompts_file=file_of(b"- {name: Sum, text: 6*7?, exact: '42', system: Be short.}"),
        prompts_text='{"name": "Capital", "text": "Capital of France?", "contains": "Paris"}\n',
        rate="20",
        slo_ttft="60000",
        slo_e2e="60000",
        timeout="30",
        seed="7",
    )
    del sent["stream"]
    refused = signed_in.post("/benchmarks/new/", sent)
    run_sent = {**sent, "stream": "on", "prompts_file": file_of(b"- {name: Sum, text: 6*7?}")}
    response = signed_in.post("/benchmarks/new/", run_sent)

    assert refused.status_code == 422 and "<details open>" in refused.content.decode()
    plan = BenchmarkRun.objects.get(status="completed").plan
    assert response.status_code == 302
    assert [(one["name"], len(one["checks"])) for one in plan["prompts"]] == [
        ("Sum", 0), ("Capital", 1),
    ]  # fmt: skip
    assert (plan["rate"], plan["timeout_s"], plan["seed"]) == (20.0, 30.0, 7)
    assert plan["slo"] == {"ttft_ms": 60000.0, "e2e_ms": 60000.0}


@pytest.mark.django_db(transaction=True)
def test_a_run_started_from_the_page_is_carried_out(
    alice: User, key: LLMCredential, signed_in: Client
) -> None:
    sent = filled_in(key, own_prompt="What is 6*7?", concurrency="1, 2")
    response = signed_in.post("/benchmarks/new/", sent)

    run = BenchmarkRun.objects.get()
    assert response["Location"] == f"/benchmarks/{run.pk}/"
    assert (run.owner, run.status, run.done) == (alice, "completed", 8)
    assert [prompt["name"] for prompt in run.plan["prompts"]] == ["Simple Question", "Your prompt"]
    assert run.plan["max_cost_usd"] == "0.05" and run.plan["concurrency"] == [1, 2]
    assert run.plan["contenders"][0]["credential"] == str(key.pk)
    shown = signed_in.get(response["Location"]).content.decode()
    assert "Response time by calls at a time" in shown and "data-poll" not in shown


def test_the_estimate_is_there_before_anything_is_changed(
    key: LLMCredential, signed_in: Client
) -> None:
    page = signed_in.get("/benchmarks/new/").content.decode()

    assert "31 calls, at most $0.0" in page and 'value="0.50"' in page
    assert "********" + key.last4 in page
    for name in ("prompts_file", "prompts_text", "rate", "stream", "slo_ttft", "workers", "seed"):
        assert f'name="{name}"' in page


def test_an_estimate_starts_nothing(key: LLMCredential, signed_in: Client) -> None:
    sent = filled_in(key, estimate="1", runs=7)
    whole = signed_in.post("/benchmarks/new/", sent).content.decode()
    part = signed_in.post(
        "/benchmarks/new/", sent, headers={"X-Requested-With": "fetch"}
    ).content.decode()

    assert "7 calls, at most $" in whole and "<h1>" in whole
    assert "7 calls, at most $" in part and "<h1>" not in part
    assert not BenchmarkRun.objects.exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"max_cost": ""}, "This field is required"),
        ({"max_cost": "0"}, "greater than or equal"),
        ({"max_cost": "0.000001"}, "One call of gpt-4o-mini may cost"),
        ({"concurrency": "many"}, "Write a number"),
        ({"concurrency": "1,500"}, "A whole number from 1 to 256"),
        ({"concurrency": "100"}, "at most 64 calls at a time"),
        ({"rate": "65"}, "at most 64 calls at a time, or a second"),
        ({"rate": "2", "concurrency": "4"}, "not both"),
        ({"rate": "0"}, "Calls a second, more than 0"),
        ({"workers": "4", "concurrency": "2"}, "needs a call at a time"),
        ({"timeout": "0"}, "Seconds, more than 0"),
        ({"slo_ttft": "-1"}, "Milliseconds, more than 0"),
        ({"slo_ttft": "500", "stream": ""}, "Nobody sees a first token"),
        ({"prompts_text": "- {text: a, regex: '(a'}"}, "RE2"),
        ({"prompts_text": "- &a [*a]"}, "aliases"),
        ({"prompts_text": 'x: "\\0"\nprompts: [{text: "a\\0"}]'}, "no character"),
        ({"prompts_text": "- {text: a, name: Simple Question}"}, "Two prompts are called"),
        ({"prompts_text": "x" * (2**20 + 1)}, "at most 1048576 characters"),
        ({"prompts_file": file_of(b"\xff\xfe")}, "can&#x27;t be read"),
        ({"prompts_file": file_of(b"x" * (2**20 + 1))}, "larger than 1,048,576 bytes"),
        ({"prompts": []}, "Tick a prompt"),
        ({"runs": 50_000}, "less than or equal"),
        ({"runs": 1000, "concurrency": "1,2,3,4,5,6", "own_prompt": "x", "prompts": EVERY_PROMPT},
         "24,000 calls"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_started(
    key: LLMCredential, signed_in: Client, changes: dict[str, Any], complaint: str
) -> None:
    response = signed_in.post("/benchmarks/new/", filled_in(key, **changes))

    assert response.status_code == 422 and complaint in response.content.decode()
    assert not BenchmarkRun.objects.exists()


def test_a_key_has_to_be_ticked(key: LLMCredential, signed_in: Client) -> None:
    sent = filled_in(key)
    del sent[f"key_{key.pk}"]

    assert "Tick at least one key" in signed_in.post("/benchmarks/new/", sent).content.decode()


def test_keys_of_others_are_not_offered_and_not_taken(
    bob: User, key: LLMCredential, signed_in: Client
) -> None:
    theirs = CredentialFactory.create(owner=bob)
    page = signed_in.get("/benchmarks/new/").content.decode()
    response = signed_in.post("/benchmarks/new/", filled_in(theirs))

    assert str(theirs.pk) not in page
    assert response.status_code == 422 and not BenchmarkRun.objects.exists()


def test_without_a_key_it_leads_to_one_and_to_the_simulator(
    alice: User, simulator: Any, signed_in: Client
) -> None:
    page = signed_in.get("/benchmarks/new/").content.decode()

    assert "No key to measure with" in page and 'action="/benchmarks/simulated"' in page


@pytest.mark.django_db(transaction=True)
def test_the_simulator_is_measured_with_one_button(
    alice: User, simulator: Any, signed_in: Client
) -> None:
    signed_in.post("/benchmarks/simulated")

    run = BenchmarkRun.objects.get()
    assert (run.status, run.is_simulated, run.owner, run.done) == ("completed", True, alice, 63)


def test_where_the_simulator_is_off_it_is_not_measured(alice: User, signed_in: Client) -> None:
    response = signed_in.post("/benchmarks/simulated", follow=True)

    assert "switched off" in response.content.decode() and not BenchmarkRun.objects.exists()


@pytest.fixture
def waiting(alice: User, key: LLMCredential) -> BenchmarkRun:
    return create(plan=plan_of(key), source=Source.USER, user=alice)


def test_a_run_that_goes_on_is_shown_live(waiting: BenchmarkRun, signed_in: Client) -> None:
    page = signed_in.get(f"/benchmarks/{waiting.pk}/").content.decode()
    part = signed_in.get(f"/benchmarks/{waiting.pk}/progress").content.decode()

    for shown in (page, part):
        assert f'data-poll="/benchmarks/{waiting.pk}/progress"' in shown
        assert "0 of 3 calls, $0 of at most $0.05" in shown
    assert 'http-equiv="refresh"' in page and "<h1>" not in part


def test_a_run_that_has_no_call_yet_says_what_it_does(
    waiting: BenchmarkRun, signed_in: Client
) -> None:
    store.take(waiting.pk)

    part = signed_in.get(f"/benchmarks/{waiting.pk}/progress").content.decode()
    assert "tests its stopwatch first" in part


def test_a_run_that_nobody_takes_says_so(waiting: BenchmarkRun, signed_in: Client) -> None:
    BenchmarkRun.objects.update(created_at=timezone.now() - timedelta(minutes=5))

    part = signed_in.get(f"/benchmarks/{waiting.pk}/progress").content.decode()
    assert "No worker has taken it yet" in part


@pytest.mark.django_db(transaction=True)
def test_a_run_is_cancelled_and_gone_on_with(waiting: BenchmarkRun, signed_in: Client) -> None:
    signed_in.post(f"/benchmarks/{waiting.pk}/cancel")
    page = signed_in.get(f"/benchmarks/{waiting.pk}/").content.decode()
    assert "You can go on with it" in page and "Cancelled" in page and "data-poll" not in page

    signed_in.post(f"/benchmarks/{waiting.pk}/go-on")

    waiting.refresh_from_db()
    assert (waiting.status, waiting.done) == ("completed", 3)


def test_what_is_over_can_t_be_cancelled(waiting: BenchmarkRun, signed_in: Client) -> None:
    BenchmarkRun.objects.update(status="completed")

    response = signed_in.post(f"/benchmarks/{waiting.pk}/cancel", follow=True)
    assert "It is over already." in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_run_out_of_money_goes_on_with_a_higher_limit(
    waiting: BenchmarkRun, signed_in: Client
) -> None:
    claim = store.take(waiting.pk)
    assert claim is not None
    BenchmarkShard.objects.update(spent=49_999_000)
    store.end(claim, RunStatus.OUT_OF_MONEY, "The limit is reached.")
    page = signed_in.get(f"/benchmarks/{waiting.pk}/").content.decode()
    assert "Go on with a higher limit" in page and "The limit is reached." in page

    bad = signed_in.post(f"/benchmarks/{waiting.pk}/go-on", {"max_cost": "NaN"}, follow=True)
    signed_in.post(f"/benchmarks/{waiting.pk}/go-on", {"max_cost": "0.20"})

    assert "Name an amount in US dollars" in bad.content.decode()
    waiting.refresh_from_db()
    assert (waiting.status, waiting.done) == ("completed", 3)
    assert Decimal(waiting.plan["max_cost_usd"]) == Decimal("0.20")


def test_a_run_that_is_complete_can_t_be_gone_on_with(
    waiting: BenchmarkRun, signed_in: Client
) -> None:
    BenchmarkRun.objects.update(status="completed", done=3)

    response = signed_in.post(f"/benchmarks/{waiting.pk}/go-on", follow=True)
    assert "Nothing is left to do" in response.content.decode()


def a_rhythm(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Mornings",
        "every": "day",
        "hours": 6,
        "at": "06:30",
        "weekday": 0,
        "time_zone": "Europe/Berlin",
        **changes,
    }


def test_a_schedule_is_made_switched_and_deleted(
    alice: User, key: LLMCredential, signed_in: Client
) -> None:
    assert "No schedule yet" in signed_in.get("/benchmarks/schedules/").content.decode()
    signed_in.post("/benchmarks/schedules/new/", {**filled_in(key), **a_rhythm()})

    schedule = BenchmarkSchedule.objects.get()
    assert (schedule.owner, schedule.at, schedule.is_active) == (alice, time(6, 30), True)
    assert schedule.next_at == schedule.rhythm.after(timezone.now())
    assert not BenchmarkRun.objects.exists()
    shown = signed_in.get("/benchmarks/schedules/").content.decode()
    assert "daily at 06:30 Europe/Berlin, at most $0.05 a run" in shown

    signed_in.post(f"/benchmarks/schedules/{schedule.pk}/switch")
    schedule.refresh_from_db()
    assert not schedule.is_active
    BenchmarkSchedule.objects.update(next_at=timezone.now() - timedelta(days=3))
    signed_in.post(f"/benchmarks/schedules/{schedule.pk}/switch")
    schedule.refresh_from_db()
    assert schedule.is_active and schedule.next_at > timezone.now()

    signed_in.post(f"/benchmarks/schedules/{schedule.pk}/delete")
    assert not BenchmarkSchedule.objects.exists()


@pytest.mark.parametrize(
    "changes", [{"time_zone": "Mars/Base"}, {"hours": 0}, {"name": ""}, {"max_cost": ""}]
)
def test_a_schedule_with_a_mistake_is_not_made(
    key: LLMCredential, signed_in: Client, changes: dict[str, Any]
) -> None:
    sent = {**filled_in(key), **a_rhythm(), **changes}
    response = signed_in.post("/benchmarks/schedules/new/", sent)

    assert response.status_code == 422 and not BenchmarkSchedule.objects.exists()


def test_why_a_schedule_was_skipped_is_shown(
    alice: User, key: LLMCredential, signed_in: Client
) -> None:
    signed_in.post("/benchmarks/schedules/new/", {**filled_in(key), **a_rhythm()})
    BenchmarkSchedule.objects.update(note="The budget “tiny” is spent.", last_due_at=timezone.now())

    assert "“tiny” is spent" in signed_in.get("/benchmarks/schedules/").content.decode()
