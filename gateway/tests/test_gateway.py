"""Through the gateway with the official SDKs: real sockets all the way to the simulator."""

from __future__ import annotations

import gc
import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
import openai
import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from byom.one_message import Cycle
from credentials.models import AccessToken, Scope
from credentials.services import delete_credential
from credentials.tests.factories import SIMULATOR_KEYS, CredentialFactory
from credentials.tokens import revoke_token
from gateway.tests.sdks import QUESTION, SDK, Anthropic, OpenAI, Place, run, status_of
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

Pin = Callable[..., Place]
QUICK = {"x-sim-ttft-ms": "1", "x-sim-itl-ms": "0"}
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}


def post(
    at: Place, path: str = "/v1/chat/completions", body: Any = BODY, **options: Any
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {at.token}", **QUICK, **options.pop("headers", {})}
    with httpx2.Client(trust_env=False) as http:
        return http.post(at.url + path, json=body, headers=headers, **options)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def refusal(sdk: SDK, at: Place, model: str = "") -> Any:
    with pytest.raises(sdk.Error) as caught:
        run(sdk.complete(at, model, **QUICK))
    return caught.value


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_sdk_is_answered_on_the_users_key_and_the_call_is_booked(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK, streamed: bool
) -> None:
    credential = CredentialFactory.create(owner=alice, provider=sdk.provider)
    ask = sdk.stream if streamed else sdk.complete

    assert "Paris" in run(ask(place, **QUICK))
    (sent,) = simulator.app.log
    assert sent.key_sha256 == sha256(SIMULATOR_KEYS[sdk.provider])
    row = UsageRecord.objects.get()
    assert (row.surface, row.status, row.usage_source) == ("gateway", "ok", "reported")
    assert (row.input_tokens, row.output_tokens) == (sent.input_tokens, sent.output_tokens)
    assert (row.user, row.credential, row.paid_by) == (alice, credential, "user")
    assert row.cost_usd and row.is_simulated and row.model_served.startswith(sdk.model)
    assert (row.ttft_ms is not None) == streamed


def cycles(at: Place) -> list[Cycle]:
    """The server's requests that are in memory."""
    port = urlsplit(at.url).port
    # `isinstance` would ask lazy objects of other tests, which then make what they stand for.
    found = [one for one in gc.get_objects() if type(one) is Cycle]
    return [one for one in found if one.scope["server"] and one.scope["server"][1] == port]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_call_leaves_nothing_for_the_garbage_collector(
    simulator: SimulatorThread, place: Place, alice: User, streamed: bool
) -> None:
    CredentialFactory.create(owner=alice)
    headers = {"Authorization": f"Bearer {place.token}", **QUICK}
    gc.collect()
    before = cycles(place)
    gc.disable()
    try:
        with httpx2.Client(trust_env=False, headers=headers) as http:
            for _ in range(5):
                address = place.url + "/v1/chat/completions"
                assert http.post(address, json={**BODY, "stream": streamed}).status_code == 200
            kept = [one for one in cycles(place) if one not in before]
    finally:
        gc.enable()
    assert len(kept) <= 2  # the connection knows its latest, which may just be ending


def test_the_receipt_is_in_the_headers(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    credential = CredentialFactory.create(owner=alice)
    answer = post(place)

    row = UsageRecord.objects.get()
    receipt = {name: value for name, value in answer.headers.items() if name.startswith("x-byom")}
    assert 0 < float(receipt.pop("x-byom-overhead-ms")) < 60_000
    assert receipt == {
        "x-byom-call-id": str(row.pk),
        "x-byom-provider": "openai",
        "x-byom-model": "gpt-4o-mini-2024-07-18",
        "x-byom-paid-by": "user",
        "x-byom-simulated": "true",
        "x-byom-credential": str(credential.pk),
        "x-byom-cost-usd": f"{row.cost_usd:f}",
    }


def test_without_a_key_of_ones_own_the_receipt_says_that_the_system_paid(
    simulator: SimulatorThread, place: Place
) -> None:
    answer = post(place)

    assert answer.headers["x-byom-paid-by"] == "system"
    assert "x-byom-credential" not in answer.headers


def test_who_asks_for_usage_in_a_stream_gets_it(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    asked = post(place, body={**BODY, "stream": True, "stream_options": {"include_usage": True}})
    unasked = post(place, body={**BODY, "stream": True})

    assert '"total_tokens"' in asked.text and '"total_tokens"' not in unasked.text
    assert unasked.text.endswith("data: [DONE]\n\n") and "\n\n\n" not in unasked.text
    first, second = UsageRecord.objects.all()
    assert first.output_tokens == second.output_tokens > 0


@pytest.mark.parametrize("token", ["byom_wrong", "sk-sim-ok-1234567890"])
def test_a_wrong_token_is_an_authentication_error_and_nothing_is_sent(
    simulator: SimulatorThread, server: str, db: None, sdk: SDK, token: str
) -> None:
    error = refusal(sdk, Place(server, token))

    assert status_of(error) == 401
    assert token not in str(error)
    assert not simulator.app.log and not UsageRecord.objects.exists()


def test_a_token_without_the_scope_is_refused(server: str, alice: User, sdk: SDK) -> None:
    _, token = AccessToken.issue(user=alice, name="reader", scopes=[Scope.USAGE_READ])

    assert status_of(refusal(sdk, Place(server, token))) == 403


def test_a_key_that_the_provider_refuses_is_the_providers_own_error(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK
) -> None:
    key = SIMULATOR_KEYS[sdk.provider].replace("-ok-", "-401-")
    CredentialFactory.create(owner=alice, provider=sdk.provider, key=key)
    error = refusal(sdk, place)

    assert status_of(error) == (400 if sdk.provider == "google" else 401)
    assert key not in str(error)
    row = UsageRecord.objects.get()
    assert (row.status, row.error_code) == ("error", "authentication_failed")
    assert (row.input_tokens, row.output_tokens) == (0, 0)


def test_the_classes_of_the_sdks_errors_fire(
    simulator: SimulatorThread, server: str, pinned: Pin
) -> None:
    limited = pinned(key="sk-sim-429-1234567890")

    for sdk, module in ((OpenAI(), openai), (Anthropic(), anthropic)):
        assert isinstance(refusal(sdk, Place(server, "byom_x")), module.AuthenticationError)
    assert isinstance(refusal(OpenAI(), limited), openai.RateLimitError)


def test_the_providers_limit_is_passed_on_with_its_waiting_time(
    simulator: SimulatorThread, pinned: Pin
) -> None:
    answer = post(pinned(key="sk-sim-429-1234567890"), headers={"x-sim-retry-after": "7"})

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    row = UsageRecord.objects.get()
    assert (row.status, row.error_code) == ("error", "rate_limited")
    assert answer.headers["x-byom-call-id"] == str(row.pk)


def test_our_own_limit_is_a_rate_limit_error_with_a_waiting_time(
    simulator: SimulatorThread, place: Place, settings: Any
) -> None:
    one_call = {"calls": 1, "tokens": 0, "concurrent": 0}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "user": one_call}
    with suppress(openai.RateLimitError):
        run(OpenAI().complete(place, **QUICK))
    error = refusal(OpenAI(), place)

    assert isinstance(error, openai.RateLimitError)
    assert 1 <= int(error.response.headers["retry-after"]) <= 60
    assert error.code == "too_many_calls"
    assert error.response.headers["x-ratelimit-limit-requests"] == "1"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert re.fullmatch(r"\d+s|1m0s", error.response.headers["x-ratelimit-reset-requests"])


@pytest.mark.parametrize(
    ("path", "body", "address"),
    [
        ("/v1/embeddings", {"model": "claude-haiku-4-5", "input": "x"}, "POST /v1/messages"),
        ("/v1/responses", {"model": "gemini-2.5-flash", "input": "x"}, "POST /v1/models"),
    ],
)
def test_what_only_one_provider_has_is_refused_for_others_with_the_address_to_use(
    simulator: SimulatorThread, place: Place, path: str, body: dict[str, str], address: str
) -> None:
    answer = post(place, path, body)

    assert answer.status_code == 400
    assert f"Call it at {address}" in answer.json()["error"]["message"]
    assert not simulator.app.log and not UsageRecord.objects.exists()


def test_a_token_pinned_to_another_dialect_says_so(simulator: SimulatorThread, pinned: Pin) -> None:
    body = {"model": "some-model", "input": "x"}
    answer = post(pinned(provider="anthropic"), "/v1/embeddings", body)

    assert answer.status_code == 400
    assert "POST /v1/messages" in answer.json()["error"]["message"]


def test_the_pinned_credential_goes_before_the_default(
    simulator: SimulatorThread, pinned: Pin, alice: User
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    at = pinned(key="sk-sim-pinned-1234567890")

    assert post(at).status_code == 200
    assert simulator.app.log[0].key_sha256 == sha256("sk-sim-pinned-1234567890")


@pytest.mark.parametrize("model", ["llama3.2:3b", "sim-claude"])
def test_a_default_server_of_ones_own_takes_models_that_are_not_openais(
    simulator: SimulatorThread, place: Place, alice: User, model: str
) -> None:
    CredentialFactory.create(owner=alice)
    CredentialFactory.create(owner=alice, provider="openai_compatible", is_default=True)

    answer = post(place, body={**BODY, "model": model})
    assert answer.headers["x-byom-provider"] == "openai_compatible"
    assert "x-byom-cost-usd" not in answer.headers
    assert post(place).headers["x-byom-provider"] == "openai"


def test_a_server_of_ones_own_that_is_no_default_is_not_asked(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)
    CredentialFactory.create(owner=alice, provider="openai_compatible")

    answer = post(place, body={**BODY, "model": "llama3"})
    assert answer.headers["x-byom-provider"] == "openai"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1beta/models/m:generateContent"])
def test_a_token_in_the_address_is_refused(server: str, db: None, path: str) -> None:
    with httpx2.Client(trust_env=False) as http:
        answer = http.post(f"{server}{path}?key=byom_whatever", json=BODY)

    assert answer.status_code == 400
    assert "in a header" in answer.json()["error"]["message"]


def test_only_known_headers_reach_the_provider_and_come_back(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice)
    answer = post(place, headers={"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "x-own": "1"})

    allowed = {"accept", "accept-encoding", "authorization", "connection", "content-length"}
    allowed |= {"content-type", "host", "user-agent", *QUICK}
    assert set(simulator.app.log[0].header_names) <= allowed
    assert "openai-organization" not in answer.headers
    assert answer.headers["x-request-id"] and answer.headers["x-ratelimit-limit-requests"]


def test_a_stream_that_breaks_ends_with_an_error_in_the_sdks_own_words(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK
) -> None:
    CredentialFactory.create(owner=alice, provider=sdk.provider)
    errors = (openai.APIError, anthropic.APIError, sdk.Error)

    with pytest.raises(errors, match="broke before the answer was complete"):
        run(sdk.stream(place, **QUICK, **{"x-sim-fault": "drop"}))
    row = UsageRecord.objects.get()
    assert (row.status, row.error_code) == ("error", "stream_broken")
    assert row.usage_source == "estimated" and row.output_tokens > 0


def test_an_error_inside_a_stream_is_passed_on_and_booked(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK
) -> None:
    CredentialFactory.create(owner=alice, provider=sdk.provider)

    with pytest.raises((openai.APIError, anthropic.APIError, sdk.Error)):
        run(sdk.stream(place, **QUICK, **{"x-sim-fault": "errorevent"}))
    row = UsageRecord.objects.get()
    assert (row.status, row.error_code) == ("error", "overloaded")


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("garbage", 502, "bad_answer"), ("drop", 503, "connection_failed"), ("hang", 504, "timeout")],
)
def test_a_provider_that_gives_no_answer_is_told_from_one_that_refuses(
    simulator: SimulatorThread,
    place: Place,
    alice: User,
    settings: Any,
    fault: str,
    status: int,
    code: str,
) -> None:
    settings.CALL_TIMEOUT_SECONDS = 0.1 if fault == "hang" else 20
    CredentialFactory.create(owner=alice)
    answer = post(place, headers={"x-sim-fault": fault})

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    row = UsageRecord.objects.get()
    assert (row.status, row.error_code) == ("error", code)
    assert answer.headers["x-byom-call-id"] == str(row.pk)


def test_a_server_that_can_not_be_reached_is_told_without_its_address(pinned: Pin) -> None:
    nowhere = "http://127.0.0.1:1/private"
    at = pinned(provider="openai_compatible", key="real-key-123", base_url=nowhere)
    answer = post(at, body={**BODY, "model": "llama3"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "connection_failed")
    assert "127.0.0.1" not in answer.text and "real-key-123" not in answer.text
    assert UsageRecord.objects.get().error_code == "connection_failed"


def test_a_private_host_is_not_called(pinned: Pin, allow: Any, simulator: SimulatorThread) -> None:
    inside = f"{simulator.url}/openai/v1"
    at = pinned(provider="openai_compatible", key="real-key-123", base_url=inside)
    answer = post(at, body={**BODY, "model": "llama3"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "destination_refused")
    assert "127.0.0.1" not in answer.text and not simulator.app.log
    assert UsageRecord.objects.get().error_code == "destination_refused"


@pytest.mark.parametrize("megabytes", [5, 33])
def test_a_client_that_is_still_sending_hears_why_it_is_refused(
    server: str, place: Place, megabytes: int
) -> None:
    at = place if megabytes > 32 else Place(server, "byom_wrong")
    answer = post(at, body={"padding": "x" * megabytes * 2**20})

    assert answer.status_code == (413 if megabytes > 32 else 401)


def test_geminis_stream_without_sse_is_read_too(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, provider="google")
    body: Mapping[str, Any] = {"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]}
    answer = post(place, "/v1beta/models/gemini-2.5-flash:streamGenerateContent", body)

    assert isinstance(answer.json(), list)
    row = UsageRecord.objects.get()
    assert (row.usage_source, row.output_tokens) == (
        "reported",
        simulator.app.log[0].output_tokens,
    )


def test_a_revoked_token_and_a_deleted_key_are_forgotten_at_once(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    credential = CredentialFactory.create(owner=alice)
    assert post(place).headers["x-byom-credential"] == str(credential.pk)

    delete_credential(credential=credential)
    assert "x-byom-credential" not in post(place).headers
    revoke_token(token=AccessToken.objects.get())
    assert post(place).status_code == 401


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "claude-haiku-4-5"], ids=["relayed", "translated"]
)
def test_a_stream_without_end_is_ended(
    simulator: SimulatorThread,
    place: Place,
    alice: User,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("relay", "translated"):
        monkeypatch.setattr(f"gateway.{module}.STREAM_SECONDS", 0.3)
    for provider in ("openai", "anthropic"):
        CredentialFactory.create(owner=alice, provider=provider)
    slow = {"x-sim-itl-ms": "50", "x-sim-tokens": "500"}
    answer = post(place, body={**BODY, "model": model, "stream": True}, headers=slow)

    assert answer.status_code == 200 and '"code": "timeout"' in answer.text
    row = UsageRecord.objects.get()
    assert row.usage_source == "estimated" and row.output_tokens > 0
