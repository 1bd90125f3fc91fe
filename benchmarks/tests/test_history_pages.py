"""Runs beside one another, and over time."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from benchmarks.models import BenchmarkRun, BenchmarkSample
from benchmarks.tests.samples import GOOGLE, OPENAI, kept, run_of, sample

pytestmark = pytest.mark.django_db


def a_run_of(owner: User, seconds: float = 1.0, calls: int = 20, days_ago: int = 0) -> BenchmarkRun:
    taken = [
        sample(contender, seconds=base * seconds + at / 100, run=at)
        for at in range(1, calls + 1)
        for contender, base in ((OPENAI, 1.0), (GOOGLE, 2.0))
    ]
    run = run_of(*taken)
    run.owner_id = owner.pk
    row = kept(run)
    moment = timezone.now().replace(hour=7, minute=0) - timedelta(days=days_ago)
    BenchmarkRun.objects.filter(pk=row.pk).update(created_at=moment)
    BenchmarkSample.objects.filter(run=row).update(started_at=moment)
    row.refresh_from_db()
    return row


@pytest.fixture
def signed_in(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def test_two_runs_side_by_side_tell_what_has_become_slower(alice: User, signed_in: Client) -> None:
    before, now = a_run_of(alice), a_run_of(alice, seconds=1.5)

    page = signed_in.get(f"/benchmarks/{now.pk}/compare/?with={before.pk}").content.decode()

    assert "<strong>Slower by 4" in page and page.count('<span class="badge bad">') == 4
    assert "OpenAI gpt-4o-mini" in page and ">1.1 s</td>" in page and ">1.6 s</td>" in page
    assert "No change that is sure and matters" in page and page.count("<svg") > 2


def test_the_other_way_round_it_has_become_faster(alice: User, signed_in: Client) -> None:
    before, now = a_run_of(alice, seconds=1.5), a_run_of(alice)

    page = signed_in.get(f"/benchmarks/{now.pk}/compare/?with={before.pk}").content.decode()
    assert "<strong>Faster by 3" in page and page.count('<span class="badge good">') == 4


def test_few_calls_are_not_judged(alice: User, signed_in: Client) -> None:
    before, now = a_run_of(alice, calls=5), a_run_of(alice, seconds=9)

    page = signed_in.get(f"/benchmarks/{now.pk}/compare/?with={before.pk}").content.decode()
    assert page.count("Too few calls to tell") == 6


def test_runs_of_others_are_neither_offered_nor_compared(
    alice: User, bob: User, signed_in: Client
) -> None:
    mine, theirs = a_run_of(alice), a_run_of(bob)

    page = signed_in.get(f"/benchmarks/{mine.pk}/compare/").content.decode()
    assert "no other run of yours" in page and str(theirs.pk) not in page
    for other in (theirs.pk, uuid.uuid4(), "nonsense"):
        found = signed_in.get(f"/benchmarks/{mine.pk}/compare/?with={other}")
        assert found.status_code == 404


def test_trends_show_one_model_run_by_run(alice: User, bob: User, signed_in: Client) -> None:
    for days_ago in (3, 2, 1):
        a_run_of(alice, seconds=1 + days_ago / 10, days_ago=days_ago)
    a_run_of(bob, seconds=50, days_ago=1)

    page = signed_in.get("/benchmarks/trends/?model=google:gemini-2.5-flash:0").content.decode()

    assert "Times, run by run" in page and "Cost of 1,000 calls, run by run" in page
    for median in ("2.3 s", "2.5 s", "2.7 s"):
        assert f">{median}</td>" in page
    assert ">1.1 s</td>" not in page and "50 s" not in page


def test_hours_of_the_day_are_those_of_the_chosen_zone(alice: User, signed_in: Client) -> None:
    a_run_of(alice)

    for zone, hour in (("UTC", "07:00"), ("Asia/Tokyo", "16:00")):
        page = signed_in.get(f"/benchmarks/trends/?zone={zone}").content.decode()
        assert f'<th scope="row">{hour}</th><td data-label="Calls" class="number">20</td>' in page


def test_simulated_answers_are_never_mixed_with_real_ones(alice: User, signed_in: Client) -> None:
    a_run_of(alice)
    simulated = a_run_of(alice, seconds=7)
    for entry in simulated.summary:
        entry["simulated"] = True
    simulated.save()
    simulated.samples.update(is_simulated=True)

    real = signed_in.get("/benchmarks/trends/?model=openai:gpt-4o-mini:0").content.decode()
    other = signed_in.get("/benchmarks/trends/?model=openai:gpt-4o-mini:1").content.decode()
    assert ">1.1 s</td>" in real and ">7.1 s</td>" not in real
    assert ">7.1 s</td>" in other and ">1.1 s</td>" not in other


def test_what_was_measured_under_load_is_a_trend_of_its_own(alice: User, signed_in: Client) -> None:
    a_run_of(alice)
    loaded = a_run_of(alice, seconds=7)
    loaded.plan["concurrency"], loaded.plan["stream"] = [16], False
    loaded.save()

    alone = signed_in.get("/benchmarks/trends/?model=openai:gpt-4o-mini:0").content.decode()
    key = "openai:gpt-4o-mini:0:16 at a time, whole answers"
    many = signed_in.get("/benchmarks/trends/", {"model": key}).content.decode()
    assert ">1.1 s</td>" in alone and ">7.1 s</td>" not in alone
    assert ">7.1 s</td>" in many and ">1.1 s</td>" not in many
    assert "gpt-4o-mini, 16 at a time, whole answers</option>" in alone


def test_trends_without_runs_lead_to_a_schedule(alice: User, signed_in: Client) -> None:
    a_run_of(alice, days_ago=200)

    assert (
        "Nothing measured in the last 90 days"
        in signed_in.get("/benchmarks/trends/").content.decode()
    )
    assert "Times, run by run" in signed_in.get("/benchmarks/trends/?days=365").content.decode()


def test_nonsense_in_the_address_is_passed_over(alice: User, signed_in: Client) -> None:
    a_run_of(alice)

    query = "?days=banana&model=x&prompt=y&zone=Mars/Base"
    page = signed_in.get(f"/benchmarks/trends/{query}")
    assert page.status_code == 200 and "time zone is not known" in page.content.decode()


def test_the_list_is_filtered(alice: User, signed_in: Client) -> None:
    a_run_of(alice)

    for query, found in (
        ("q=gemini", True),
        ("q=claude", False),
        ("status=completed", True),
        ("status=failed", False),
        ("answers=simulated", False),
        ("answers=real&q=gpt-4o", True),
        ("status=nonsense", True),
    ):
        page = signed_in.get(f"/benchmarks/?{query}").content.decode()
        assert ("No run is like that" not in page) == found, query
