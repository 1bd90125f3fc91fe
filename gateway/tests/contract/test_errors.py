"""Errors: of the providers and of ourselves, each as the SDK's own exception class."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.models import AccessToken, Scope
from credentials.tests.factories import CredentialFactory
from gateway.exchange import Exchange
from gateway.tests.contract.conftest import Pair
from gateway.tests.contract.faces import Face
from gateway.tests.sdks import Place, run, status_of
from usage.models import Budget, UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def refusal(face: Face, at: Place, model: str = "", **more: Any) -> Any:
    with pytest.raises(face.Error) as caught:
        run(face.complete(at, model or face.model, **more))
    return caught.value


def fired(face: Face, error: Any, status: int) -> None:
    """The class that the SDK's users catch for this status."""
    assert isinstance(error, face.classes[500 if status >= 500 else status]), repr(error)
    assert (status_of(error) >= 500) if status >= 500 else (status_of(error) == status)


def of_provider(what: str) -> pytest.MarkDecorator:
    return pytest.mark.promise(f"provider's error {what}")


def of_ours(what: str) -> pytest.MarkDecorator:
    return pytest.mark.promise(f"our error {what}")


@of_provider("401")
def test_a_refused_key(pair: Pair, place: Place) -> None:
    error = refusal(pair.face, place, pair.model, headers={"x-sim-fault": "401"})
    # Gemini's word for a bad key is a 400, which a relay passes on as it is.
    fired(pair.face, error, 400 if pair.face.provider == pair.provider == "google" else 401)


@of_provider("403")
def test_a_key_that_may_not(pair: Pair, place: Place) -> None:
    error = refusal(pair.face, place, pair.model, headers={"x-sim-fault": "403"})
    fired(pair.face, error, 403)


@of_provider("404")
def test_an_unknown_model(pair: Pair, place: Place) -> None:
    fired(pair.face, refusal(pair.face, place, f"{pair.provider}/none"), 404)


@of_provider("429, when to come again")
def test_a_rate_limit(pair: Pair, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.tries.LONGEST_WAIT", 0.0)
    fault = {"x-sim-fault": "429", "x-sim-retry-after": "7"}
    error = refusal(pair.face, place, pair.model, headers=fault)
    fired(pair.face, error, 429)
    assert pair.face.retry_after(error) == 7


@of_provider("5xx")
@pytest.mark.parametrize("fault", ["500", "503"])
def test_the_providers_own_trouble(pair: Pair, place: Place, fault: str) -> None:
    error = refusal(pair.face, place, pair.model, headers={"x-sim-fault": fault})
    fired(pair.face, error, 500)


@of_provider("in a stream")
def test_an_error_in_the_middle_of_a_stream(pair: Pair, place: Place) -> None:
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - each SDK has its own
        run(pair.face.stream(place, pair.model, headers={"x-sim-fault": "errorevent"}))
    assert type(caught.value).__module__.split(".")[0] in ("openai", "anthropic", "google")
    assert UsageRecord.objects.filter(status="error", attempt_of=None).count() == 1


@of_ours("401")
def test_a_wrong_token(face: Face, server: str, db: None) -> None:
    fired(face, refusal(face, Place(server, "byom_wrong")), 401)


@of_ours("403, scope")
def test_a_token_without_the_scope(face: Face, server: str, alice: User) -> None:
    _, token = AccessToken.issue(user=alice, name="reader", scopes=[Scope.USAGE_READ])
    fired(face, refusal(face, Place(server, token)), 403)


@of_ours("403, no key")
def test_no_key_for_the_provider(
    face: Face, place: Place, settings: Any, simulator: SimulatorThread
) -> None:
    settings.FALLBACK_POLICY = "own_only"
    error = refusal(face, place)
    fired(face, error, 403)
    assert "Add your own" in str(error)


@of_ours("404")
def test_an_unknown_address(face: Face, place: Place) -> None:
    fired(face, refusal(face, Place(f"{place.url}/v1beta/nowhere", place.token)), 404)


@of_ours("413")
def test_a_body_that_is_too_large(
    face: Face, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.exchange.MAX_BODY_BYTES", 100)
    error = refusal(face, place, text="word " * 100)
    fired(face, error, 413)
    assert "larger than" in str(error)


@of_ours("408")
def test_a_body_that_does_not_come(
    face: Face, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waits(self: Exchange) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("gateway.exchange.IDLE_SECONDS", 0.05)
    monkeypatch.setattr(Exchange, "_body", waits)
    error = refusal(face, place)
    fired(face, error, 408)
    assert "did not come in time" in str(error)


@of_ours("429, when to come again")
def test_our_rate_limit(
    face: Face, place: Place, alice: User, settings: Any, simulator: SimulatorThread
) -> None:
    settings.RATE_LIMITS = {
        **settings.RATE_LIMITS,
        "user": {**settings.RATE_LIMITS["user"], "calls": 1},
    }
    CredentialFactory.create(owner=alice, provider=face.provider)
    run(face.complete(place, face.model))
    error = refusal(face, place)
    fired(face, error, 429)
    assert 0 < face.retry_after(error) <= 60


@of_ours("429, budget")
def test_a_spent_budget(face: Face, place: Place, alice: User, simulator: SimulatorThread) -> None:
    CredentialFactory.create(owner=alice, provider=face.provider)
    Budget.objects.create(name="Lunch", user=alice, limit_units=1)
    error = refusal(face, place)
    fired(face, error, 429)
    assert "has no room" in str(error)


@of_ours("502, 503, 504")
@pytest.mark.parametrize("fault", ["garbage", "hang"])
def test_a_provider_that_can_not_be_understood_or_does_not_answer(
    pair: Pair, place: Place, settings: Any, fault: str
) -> None:
    settings.CALL_TIMEOUT_SECONDS = 0.5 if fault == "hang" else 20
    error = refusal(pair.face, place, pair.model, headers={"x-sim-fault": fault})
    fired(pair.face, error, 500)
    assert status_of(error) == (504 if fault == "hang" else 502)


@of_ours("502, 503, 504")
def test_a_provider_that_can_not_be_reached(
    pair: Pair, place: Place, settings: Any, unused_tcp_port: int
) -> None:
    settings.SIMULATOR_URL = f"http://127.0.0.1:{unused_tcp_port}"
    error = refusal(pair.face, place, pair.model)
    fired(pair.face, error, 500)
    assert status_of(error) in (502, 503)
