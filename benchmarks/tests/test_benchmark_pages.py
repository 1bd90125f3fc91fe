"""Pages and API of runs: one's own, with what they came to."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from benchmarks.history import keep
from benchmarks.models import BenchmarkRun
from benchmarks.tests.samples import GOOGLE, OPENAI, run_of, sample
from credentials.models import AccessToken
from usage.ledger import Caller
from usage.models import Surface

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/benchmarks/runs"


def a_run_of(owner: User) -> BenchmarkRun:
    calls = [
        sample(contender, seconds=seconds + at / 100, run=at)
        for at in range(1, 21)
        for contender, seconds in ((OPENAI, 1.0), (GOOGLE, 2.0))
    ]
    run = run_of(*calls)
    for order, one in enumerate(run.samples):
        object.__setattr__(one.step, "order", order)
    run.caller = Caller(surface=Surface.BENCHMARK, user_id=owner.pk)
    return keep(run)


def test_the_list_leads_to_a_run_with_its_verdicts(alice: User, client: Client) -> None:
    run = a_run_of(alice)
    client.force_login(alice)

    listed = client.get("/benchmarks/").content.decode()
    shown = client.get(f"/benchmarks/{run.pk}/").content.decode()

    assert f'href="/benchmarks/{run.pk}/"' in listed and "Google Gemini gemini-2.5-flash" in listed
    assert "OpenAI gpt-4o-mini is faster by 4" in shown and "No difference of 5% or more" in shown
    assert ">1.1 s</td>" in shown and ">$0.01</td>" in shown


def test_without_any_run_it_says_how_to_make_one(alice: User, client: Client) -> None:
    client.force_login(alice)

    assert "manage.py benchmark --user alice" in client.get("/benchmarks/").content.decode()


def test_a_program_reads_runs_and_their_samples(alice: User, bob: User, client: Client) -> None:
    run, _ = a_run_of(alice), a_run_of(bob)
    client.force_login(alice)

    (listed,) = client.get(RUNS).json()["results"]
    one = client.get(f"{RUNS}/{run.pk}").json()
    samples = client.get(f"{RUNS}/{run.pk}/samples?limit=3").json()

    assert listed["id"] == one["id"] == str(run.pk)
    assert [contender["model"] for contender in listed["contenders"]] == [
        OPENAI.model,
        GOOGLE.model,
    ]
    assert one["verdicts"][0]["verdict"] == "faster" and one["schema_version"] == 2
    assert samples["count"] == 40 and [row["order"] for row in samples["results"]] == [0, 1, 2]
    assert samples["results"][0]["cost_usd"] == "0.000010000"


@pytest.mark.parametrize(("scope", "status"), [("benchmarks", 200), ("usage:read", 403)])
def test_a_token_needs_the_scope(alice: User, client: Client, scope: str, status: int) -> None:
    _, secret = AccessToken.issue(user=alice, name="ci", scopes=[scope])

    found = client.get(RUNS, headers={"authorization": f"Bearer {secret}"})
    assert found.status_code == status
