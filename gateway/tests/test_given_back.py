"""Whatever stops a call, it has a row, or what it took goes back: room in budgets, and places."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.limits import LocalBuckets, buckets
from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from gateway import chain, relay
from gateway.tests.sdks import run
from gateway.tests.test_exchange import Client, asking, until
from usage import admission, leases, ledger
from usage.group_commit import group_commit
from usage.models import Budget, Reservation, UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
FALLBACK = (b"x-byom-fallback", b"gemini-2.5-flash")
FAULT = (b"x-sim-fault", b"500")
FAILED, CANCELLED = ("openai", "error", "overloaded", False), ("openai", "cancelled", "", True)


@pytest.fixture
def token(alice: User, settings: Any) -> str:
    """Of alice's, who has budgets with room and may have two calls at a time."""
    two = {"calls": 0, "tokens": 0, "concurrent": 2}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "user": two}
    for provider in ("openai", "google"):
        CredentialFactory.create(owner=alice, provider=provider)
    Budget.objects.create(name="Lunch", user=alice, limit_units=10**12)
    return AccessToken.issue(user=alice, name="program")[1]


@pytest.fixture(params=["leased", "reserved"])
def scarce(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room comes out of a lease, or is set aside for each call by itself."""
    if request.param == "reserved":
        monkeypatch.setattr(leases, "FEWEST", 10**9)


def nothing_is_held() -> bool:
    local = buckets()
    assert isinstance(local, LocalBuckets)
    out = any(lease.out for lease in leases._leases.values())
    reserved = Reservation.objects.exclude(call_id__in=[one.id for one in leases._leases.values()])
    return not (local._places or out or reserved.exists())


def rows() -> list[tuple[str, str, str, bool]]:
    found = UsageRecord.objects.order_by("created_at")
    return [(r.provider, r.status, r.error_code, r.attempt_of is None) for r in found]


class Gate:
    """Stands in for a job: it begins and goes no further until it is let through."""

    def __init__(self, job: Callable[..., Any]) -> None:
        self.job, self.begun, self.may_go_on = job, threading.Event(), threading.Event()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.begun.set()
        assert self.may_go_on.wait(10)
        return self.job(*args, **kwargs)


async def stopped_at(gate: Gate, token: str, *headers: tuple[bytes, bytes], **asked: Any) -> None:
    """One request, which is cancelled, as a server that stops does, when the job has begun."""
    call = asyncio.create_task(Client().post(token, asking(**asked), *headers))
    await until(gate.begun.is_set)
    call.cancel()
    await asyncio.sleep(0.01)
    gate.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any, str], Gate]]:
    made: list[Gate] = []

    def put(owner: Any, name: str) -> Gate:
        made.append(Gate(getattr(owner, name)))
        monkeypatch.setattr(owner, name, made[-1])
        return made[-1]

    yield put
    for each in made:
        each.may_go_on.set()


@pytest.mark.usefixtures("scarce")
@pytest.mark.parametrize("headers", [[], [FALLBACK]], ids=["once", "chain"])
def test_an_order_that_can_not_be_made(
    simulator: SimulatorThread, token: str, monkeypatch: pytest.MonkeyPatch, headers: Any
) -> None:
    def broken(**facts: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    run(Client().post(token, asking()))
    monkeypatch.setattr("gateway.app.Order", broken)
    with pytest.raises(RuntimeError):
        run(Client().post(token, asking(), *headers))

    assert nothing_is_held() and UsageRecord.objects.count() == 1


@pytest.mark.usefixtures("scarce")
def test_a_mistake_of_ours_in_the_relay_has_its_row(
    simulator: SimulatorThread, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(response: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(relay, "passing_headers", broken)
    with pytest.raises(RuntimeError):
        run(Client().post(token, asking()))

    assert rows() == [("openai", "error", "internal_error", True)]
    assert nothing_is_held()


@pytest.mark.usefixtures("scarce")
@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gemini-2.5-flash"], ids=["relayed", "translated"]
)
def test_a_call_that_is_cancelled_while_it_is_admitted(
    simulator: SimulatorThread, token: str, gate: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.selection.admit_at_once", lambda call, most: False)
    run(stopped_at(gate(admission, "admit"), token, model=model))

    assert nothing_is_held()
    assert not UsageRecord.objects.exists() and not simulator.app.log


def test_a_list_of_models_that_is_cancelled_while_it_is_admitted(
    simulator: SimulatorThread, token: str, gate: Any
) -> None:
    at_the_gate = gate(admission, "admit")

    async def scenario() -> None:
        client = Client()
        listing = asyncio.create_task(client.get(token, "/v1/models"))
        await until(at_the_gate.begun.is_set)
        client.gone.set()
        await asyncio.sleep(0.1)
        at_the_gate.may_go_on.set()
        await listing

    run(scenario())
    assert nothing_is_held() and not UsageRecord.objects.exists()


@pytest.mark.parametrize("step", ["choose", "readmit"])
def test_a_chain_that_is_cancelled_between_two_tries_has_both_rows(
    simulator: SimulatorThread, token: str, gate: Any, step: str
) -> None:
    headers = [FAULT, (b"x-byom-fallback", b"gpt-4o")]
    run(stopped_at(gate(chain, step), token, *headers))

    assert rows() == [FAILED, CANCELLED]
    group_commit().close()
    assert nothing_is_held()


def test_a_chain_that_is_cancelled_at_its_end_has_its_row(
    simulator: SimulatorThread, token: str, gate: Any, settings: Any
) -> None:
    settings.FALLBACK_POLICY = "own_only"  # and alice has no key for Claude
    headers = [FAULT, (b"x-byom-fallback", b"claude-haiku-4-5")]
    run(stopped_at(gate(chain, "choose"), token, *headers))

    assert rows() == [(*FAILED[:3], True)]
    assert nothing_is_held()


def test_a_call_that_is_cancelled_before_it_is_tried_again_has_both_rows(
    simulator: SimulatorThread, token: str, gate: Any
) -> None:
    run(stopped_at(gate(ledger, "post"), token, FAULT, (b"x-byom-retries", b"1")))

    assert rows() == [FAILED, CANCELLED]
    assert nothing_is_held()
