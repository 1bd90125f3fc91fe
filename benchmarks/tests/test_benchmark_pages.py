"""Pages and API of runs: one's own, with what they came to."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client

from benchmarks import store
from benchmarks.models import BenchmarkRun, BenchmarkSample
from benchmarks.results import document
from benchmarks.sample import Truth
from benchmarks.slo import Slo
from benchmarks.tests.samples import GOOGLE, OPENAI, kept, run_of, sample
from byom.tests.test_ownership import whole
from credentials.audit import AuditEvent
from credentials.models import AccessToken

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/benchmarks/runs"


def a_run_of(owner: User) -> BenchmarkRun:
    calls = [
        sample(contender, seconds=seconds + at / 100, run=at)
        for at in range(1, 21)
        for contender, seconds in ((OPENAI, 1.0), (GOOGLE, 2.0))
    ]
    run = run_of(*calls)
    run.owner_id = owner.pk
    return kept(run)


def test_the_list_leads_to_a_run_with_its_verdicts(alice: User, client: Client) -> None:
    run = a_run_of(alice)
    client.force_login(alice)

    listed = client.get("/benchmarks/").content.decode()
    shown = client.get(f"/benchmarks/{run.pk}/").content.decode()

    assert f'href="/benchmarks/{run.pk}/"' in listed and "Google Gemini gemini-2.5-flash" in listed
    assert "OpenAI gpt-4o-mini is faster by 4" in shown and "No difference of 5% or more" in shown
    assert ">1.1 s</td>" in shown and ">$0.01</td>" in shown


def test_a_run_is_shown_whole_or_by_prompt(alice: User, client: Client) -> None:
    address = f"/benchmarks/{a_run_of(alice).pk}/"
    client.force_login(alice)

    everything, one, unknown = (
        client.get(address + query).content.decode()
        for query in ("", "?prompt=Simple%20Question", "?prompt=Nothing")
    )

    for page in (everything, unknown):
        assert '<h2 id="table">All prompts</h2>' in page
    assert '<h2 id="table">Simple Question</h2>' in one
    assert everything.count("<svg") > 5 and "Response time: distribution" in everything


def test_what_was_quick_enough_right_and_exact_is_shown(alice: User, client: Client) -> None:
    truth = Truth(499.0, 998.5)
    calls = [
        sample(contender, run=at, cost="0.002", passed=at > 5, truth=truth)
        for at in range(1, 21)
        for contender in (OPENAI, GOOGLE)
    ]
    calls[0] = sample(OPENAI, run=1, error="overloaded", passed=False)
    run = run_of(*calls)
    run.owner_id, run.plan = alice.pk, replace(run.plan, slo=Slo(e2e=2000))
    row = kept(run)
    client.force_login(alice)

    page = client.get(f"/benchmarks/{row.pk}/").content.decode()
    report = client.get(f"/benchmarks/{row.pk}/report.html").content.decode()
    one = client.get(f"{RUNS}/{row.pk}").json()

    for shown in (page, report):
        assert ">95%</td>" in shown and ">15 of 20</td>" in shown and "answer within 2000" in shown
        assert ">$0.00253</td>" in shown or ">$0.00267</td>" in shown
        assert "1 (5%)" in shown and "can look quicker" in shown
        assert "<dt>Last token</dt><dd>1.50 ms (50%), 1.50 ms (99%)</dd>" in shown
        assert "1 without" in shown
    assert one["harness_error_ms"]["last_token"] == {"p50": 1.5, "p99": 1.5}
    assert one["harness_error_ms"]["concurrency"] == [1]


def test_a_run_is_deleted_with_its_calls_and_leaves_an_event(
    alice: User, bob: User, client: Client
) -> None:
    run, other = a_run_of(alice), a_run_of(alice)
    client.force_login(bob)
    assert client.post(f"/benchmarks/{run.pk}/delete").status_code == 404
    assert client.delete(f"{RUNS}/{run.pk}").status_code == 404
    client.force_login(alice)
    assert 'action="/benchmarks/' in client.get(f"/benchmarks/{run.pk}/").content.decode()

    said = client.post(f"/benchmarks/{run.pk}/delete", follow=True).content.decode()
    gone = client.delete(f"{RUNS}/{other.pk}")

    assert "Benchmark deleted" in said and gone.status_code == 204
    assert not BenchmarkRun.objects.exists() and not BenchmarkSample.objects.exists()
    events = AuditEvent.objects.filter(action="benchmark_delete").order_by("position")
    assert [(one.owner_id, one.object_id) for one in events] == [
        (alice.pk, str(run.pk)), (alice.pk, str(other.pk)),
    ]  # fmt: skip


def test_a_run_that_goes_on_is_not_deleted(alice: User, client: Client) -> None:
    run = a_run_of(alice)
    BenchmarkRun.objects.update(status="running")
    client.force_login(alice)

    said = client.post(f"/benchmarks/{run.pk}/delete", follow=True).content.decode()
    refused = client.delete(f"{RUNS}/{run.pk}")

    assert "not over yet" in said and (refused.status_code, refused.json()["code"]) == (
        409, "under_way",
    )  # fmt: skip
    assert BenchmarkRun.objects.exists()


def test_the_json_file_holds_what_was_found_when_the_run_ended(
    alice: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run_of(alice)
    client.force_login(alice)
    anew = document(store.run_of(run.pk))
    monkeypatch.setattr("benchmarks.results.outcome", lambda run: pytest.fail("reckoned again"))

    found = client.get(f"/benchmarks/{run.pk}/results.json").json()

    assert found == json.loads(json.dumps(anew))


def test_calls_are_paged_and_filtered(
    alice: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.views.CALLS_PER_PAGE", 10)
    run = a_run_of(alice)
    run.samples.filter(order=3).update(status="error", error_code="overloaded")
    client.force_login(alice)

    first, failed, none = (
        client.get(f"/benchmarks/{run.pk}/calls/{query}").content.decode()
        for query in ("", "?only=failed", "?only=warm-up")
    )

    assert "40 calls" in first and first.count('<th scope="row">') == 10 and "?page=2" in first
    assert failed.count('<th scope="row">') == 1 and "overloaded" in failed
    assert "No such call in this run." in none


def test_the_report_needs_nothing_from_elsewhere(alice: User, client: Client) -> None:
    run = a_run_of(alice)
    client.force_login(alice)

    response = client.get(f"/benchmarks/{run.pk}/report.html")
    page = response.content.decode()

    assert response["Content-Disposition"].startswith('attachment; filename="benchmark-20')
    assert "OpenAI gpt-4o-mini is faster by 4" in page and page.count('class="drawing"') > 5
    assert not re.search(r"<script|<link(?! rel=\"icon\" href=\"data:)|@import|src=|url\(", page)
    assert set(re.findall(r"https?://[^\"\s]*", page)) == set()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_report_runs_nothing_that_a_name_may_hold(alice: User, client: Client) -> None:
    run, bad = a_run_of(alice), "</style><script>alert(1)</script>"
    run.plan["contenders"][0]["model"] = run.plan["prompts"][0]["name"] = bad
    run.summary[0]["model"] = run.verdicts[0]["first"]["model"] = bad
    run.samples.filter(provider="openai").update(model=bad)
    run.save()
    client.force_login(alice)

    page = client.get(f"/benchmarks/{run.pk}/report.html").content.decode()

    assert "<script" not in page and page.count("&lt;script&gt;") > 5
    assert page.count("</style>") == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_calls_as_a_file(
    alice: User, client: Client, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.export.BATCH", 7)
    run = a_run_of(alice)
    run.samples.filter(order=1).update(model="=1+1")
    client.force_login(alice)

    text = whole(client.get(f"/benchmarks/{run.pk}/calls.{form}"))

    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert [int(row["order"]) for row in rows] == list(range(40))
    assert rows[0]["cost_usd"] == "0.000010000" and float(rows[0]["latency_ms"]) == 1010
    assert rows[1]["model"] == ("'=1+1" if form == "csv" else "=1+1")


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
    assert one["verdicts"][0]["verdict"] == "faster" and one["schema_version"] == 4
    assert samples["count"] == 40 and [row["order"] for row in samples["results"]] == [0, 1, 2]
    assert samples["results"][0]["cost_usd"] == "0.000010000"


@pytest.mark.parametrize(("scope", "status"), [("benchmarks", 200), ("usage:read", 403)])
def test_a_token_needs_the_scope(alice: User, client: Client, scope: str, status: int) -> None:
    _, secret = AccessToken.issue(user=alice, name="ci", scopes=[scope])

    found = client.get(RUNS, headers={"authorization": f"Bearer {secret}"})
    assert found.status_code == status
