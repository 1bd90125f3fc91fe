from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest

from credentials.tests.factories import CredentialFactory, UserFactory
from providers.vocabulary import Usage
from usage.accounts import Account, Caller, Payer
from usage.admission import NotAdmitted, admit
from usage.ledger import OpenCall
from usage.metrics import SECONDS, adding, exposition, observing
from usage.models import Status, Surface, UsageSource
from usage.rollups import roll_up
from usage.signals import calls_settled

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
GPT = {"provider": "openai", "model": "gpt-4o-mini", "surface": "api"}


def opened(user: User, model: str = "gpt-4o-mini") -> OpenCall:
    payer = Payer(provider="openai", model=model, paid_by="user", is_simulated=False)
    return OpenCall(Account(Caller(surface=Surface.API, user_id=user.pk), payer))


def settle(user: User, *, model: str = "gpt-4o-mini", error: str = "") -> None:
    call = opened(user, model)
    call.first_token()
    call.settle(
        status=Status.ERROR if error else Status.OK,
        usage=Usage(input_tokens=1000, output_tokens=500),
        usage_source=UsageSource.REPORTED,
        error_code=error,
    )


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_call_counts_once_with_its_tokens_and_cost(alice: User) -> None:
    names = ("byom_calls_total", "byom_call_seconds_count", "byom_first_token_seconds_count")
    before = [value(name, **GPT, status="ok") for name in names]
    tokens = value("byom_tokens_total", **GPT, kind="output")
    cost = value("byom_cost_usd_total", **GPT)
    lags = value("byom_ledger_lag_seconds_count")

    settle(alice)

    assert [value(name, **GPT, status="ok") for name in names] == [n + 1 for n in before]
    assert value("byom_tokens_total", **GPT, kind="output") == tokens + 500
    assert value("byom_cost_usd_total", **GPT) == pytest.approx(cost + 0.00045)
    assert value("byom_ledger_lag_seconds_count") == lags + 1


def test_failures_count_by_class(alice: User) -> None:
    before = value("byom_call_errors_total", provider="openai", error="rate_limited")

    settle(alice, error="rate_limited")

    assert value("byom_call_errors_total", provider="openai", error="rate_limited") == before + 1


def test_a_model_that_anybody_may_make_up_gets_no_label_of_its_own(alice: User) -> None:
    other = {**GPT, "model": "other"}
    before = value("byom_unpriced_calls_total", **other)

    settle(alice, model="made-up-by-alice")

    assert value("byom_unpriced_calls_total", **other) == before + 1
    assert value("byom_calls_total", **{**GPT, "model": "made-up-by-alice"}, status="ok") == 0


def test_refusals_count_by_reason(alice: User, settings: Any) -> None:
    one_call = {"calls": 1, "tokens": 0, "concurrent": 0}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "user": one_call}
    before = value("byom_calls_refused_total", reason="too_many_calls")
    admit(opened(alice), Usage())

    with pytest.raises(NotAdmitted):
        admit(opened(alice), Usage())

    assert value("byom_calls_refused_total", reason="too_many_calls") == before + 1


def test_opening_a_key_counts_by_purpose(alice: User) -> None:
    credential = CredentialFactory.create(owner=alice)
    credential.refresh_from_db()
    before = value("byom_vault_reveals_total", purpose="test")

    credential.api_key.reveal("test")

    assert value("byom_vault_reveals_total", purpose="test") == before + 1


def test_a_receiver_that_fails_keeps_no_call_from_its_row(alice: User) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError

    calls_settled.connect(broken)
    try:
        settle(alice)
    finally:
        calls_settled.disconnect(broken)

    assert alice.usage_records.count() == 1


def test_prometheus_is_served_by_its_token(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = "scrape-me"

    response = client.get("/metrics", headers={"authorization": "Bearer scrape-me"})

    assert response.status_code == 200
    assert b"byom_calls_total" in response.content


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", "Basic scrape-me", "", "Bearer é"])
def test_metrics_are_not_there_for_strangers(client: Client, settings: Any, given: str) -> None:
    for token in ("scrape-me", ""):
        settings.METRICS_TOKEN = token
        assert client.get("/metrics", headers={"authorization": given}).status_code == 404


def test_metrics_are_there_for_staff_only(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/metrics").status_code == 404

    client.force_login(UserFactory.create(is_staff=True))
    assert client.get("/metrics").status_code == 200


def test_what_the_rollups_have_not_counted_yet_shows_with_its_age(
    alice: User, tmp_path: Path, settings: Any
) -> None:
    def shown(name: str) -> float:
        lines = exposition().decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    assert (shown("byom_rollup_waiting_rows"), shown("byom_rollup_lag_seconds")) == (0, 0)
    settle(alice)
    with patch.object(timezone, "now", return_value=timezone.now() + timedelta(seconds=90)):
        settings.METRICS_DIR = str(tmp_path)  # also where each process counts into a file
        assert shown("byom_rollup_waiting_rows") == 1
        assert 90 <= shown("byom_rollup_lag_seconds") < 120
    roll_up()
    assert (shown("byom_rollup_waiting_rows"), shown("byom_rollup_lag_seconds")) == (0, 0)


def test_metrics_are_told_without_a_database_too(alice: User) -> None:
    settle(alice)
    with patch.object(QuerySet, "aggregate", side_effect=OperationalError):
        told = exposition()

    assert b"byom_calls_total" in told and b"byom_rollup" not in told


COUNT_IN_A_PROCESS = """
from prometheus_client import Counter
Counter("byom_example", "").inc()
"""


def test_any_process_answers_for_all(tmp_path: Path, settings: Any) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT_IN_A_PROCESS], env=environment, check=True)
    settings.METRICS_DIR = str(tmp_path)

    assert b"byom_example_total 2.0" in exposition()


def test_what_is_counted_quickly_is_what_the_package_would_count() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    amounts = [0.0, 0.04, 0.05, 0.051, 3.0, 120.0, 120.5, 9e9]
    for registry in (ours, theirs):
        calls = Counter("calls", "x", ["kind"], registry=registry).labels("a")
        seconds = Histogram("seconds", "x", ["kind"], registry=registry, buckets=SECONDS)
        add = adding(calls) if registry is ours else calls.inc
        observed = seconds.labels("a")
        for amount in amounts:
            add(amount)
        if registry is ours:
            observing(observed)(amounts)
        else:
            for amount in amounts:
                observed.observe(amount)

    def told(registry: CollectorRegistry) -> list[str]:
        lines = generate_latest(registry).decode().splitlines()
        return [line for line in lines if "_created" not in line]

    assert told(ours) == told(theirs)
