"""Faults by key and by header: each looks as the provider's own, through the official SDKs."""

import logging
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types

from benchmarks.simulator.server import SimulatorThread
from benchmarks.simulator.settings import SimulatorSettings

HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(SimulatorSettings(ttft_ms=1, itl_ms=0, retry_after=7)) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    """One HTTP client for all SDK clients: making one costs more than a whole test."""
    with httpx2.Client() as client:
        yield client


class Asking:
    """The three SDKs, each call with a key of its own."""

    def __init__(self, url: str, http: httpx2.Client) -> None:
        self.url, self.http = url, http

    def openai(self, key: str, stream: bool = False, **extra: Any) -> Any:
        url = f"{self.url}/openai/v1"
        client = openai.OpenAI(api_key=key, base_url=url, max_retries=0, http_client=self.http)
        extra = {"model": "gpt-4o-mini", "messages": HELLO, **extra}
        answer = client.chat.completions.create(stream=stream, **extra)
        return list(answer) if stream else answer

    def anthropic(self, key: str, stream: bool = False, **extra: Any) -> Any:
        url = f"{self.url}/anthropic"
        client = anthropic.Anthropic(
            api_key=key, base_url=url, max_retries=0, http_client=self.http
        )
        extra = {"model": "claude-haiku-4-5", "messages": HELLO, **extra}
        answer = client.messages.create(max_tokens=100, stream=stream, **extra)
        return list(answer) if stream else answer

    def google(self, key: str, stream: bool = False, model: str = "gemini-2.5-flash") -> Any:
        options = types.HttpOptions(base_url=f"{self.url}/google", httpx_client=self.http)
        client = genai.Client(api_key=key, http_options=options)
        if stream:
            return list(client.models.generate_content_stream(model=model, contents="hello"))
        return client.models.generate_content(model=model, contents="hello")


@pytest.fixture
def ask(simulator: SimulatorThread, http: httpx2.Client) -> Asking:
    return Asking(simulator.url, http)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("401", 401, "invalid_api_key"),
        ("403", 403, "unsupported_country_region_territory"),
        ("429", 429, "rate_limit_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("500", 500, None),
        ("503", 503, None),
        ("529", 503, None),
        ("context", 400, "context_length_exceeded"),
    ],
)
def test_openai_errors_by_key(
    ask: Asking, fault: str, status: int, code: str | None, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        ask.openai(f"sk-sim-{fault}-1234567890", stream)
    assert (raised.value.status_code, raised.value.code) == (status, code)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("401", 401, "authentication_error"),
        ("403", 403, "permission_error"),
        ("429", 429, "rate_limit_error"),
        ("quota", 400, "invalid_request_error"),
        ("500", 500, "api_error"),
        ("529", 529, "overloaded_error"),
        ("context", 400, "invalid_request_error"),
    ],
)
def test_anthropic_errors_by_key(
    ask: Asking, fault: str, status: int, kind: str, stream: bool
) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        ask.anthropic(f"sk-ant-sim-{fault}-1234567890", stream)
    body: Any = raised.value.body
    assert (raised.value.status_code, body["error"]["type"]) == (status, kind)
    assert body["request_id"] == raised.value.request_id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("401", 400, "INVALID_ARGUMENT"),
        ("403", 403, "PERMISSION_DENIED"),
        ("429", 429, "RESOURCE_EXHAUSTED"),
        ("quota", 429, "RESOURCE_EXHAUSTED"),
        ("500", 500, "INTERNAL"),
        ("503", 503, "UNAVAILABLE"),
        ("context", 400, "INVALID_ARGUMENT"),
    ],
)
def test_google_errors_by_key(
    ask: Asking, fault: str, status: int, name: str, stream: bool
) -> None:
    with pytest.raises(errors.APIError) as raised:
        ask.google(f"AIza-sim-{fault}-1234567890", stream)
    assert (raised.value.code, raised.value.status) == (status, name)


def test_a_fault_can_come_by_header(ask: Asking) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        headers = {"x-sim-fault": "429", "x-sim-retry-after": "2.5"}
        ask.openai("sk-sim-ok-1234567890", extra_headers=headers)
    assert raised.value.response.headers["retry-after"] == "2.5"


def test_rate_limits_say_when_to_come_back(ask: Asking) -> None:
    with pytest.raises(anthropic.RateLimitError) as refused:
        ask.anthropic("sk-ant-sim-429-1234567890")
    assert refused.value.response.headers["retry-after"] == "7"
    with pytest.raises(errors.ClientError) as raised:
        ask.google("AIza-sim-429-1234567890")
    details = raised.value.details["error"]["details"]
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"} in details


def test_other_peoples_keys_are_refused(ask: Asking) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        ask.openai("sk-proj-a-real-key-1234567890")
    assert raised.value.code == "invalid_api_key" and "real" not in str(raised.value)
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        ask.anthropic("sk-ant-a-real-key-1234567890")
    with pytest.raises(errors.ClientError, match="API_KEY_INVALID"):
        ask.google("AIzaSy-a-real-key-1234567890")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/openai/v1/models", 401),
        ("/anthropic/v1/models", 401),
        ("/google/v1beta/models", 403),
    ],
)
def test_a_missing_key_is_refused(simulator: SimulatorThread, path: str, status: int) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    assert httpx2.get(simulator.url + path, headers=headers).status_code == status


def test_anthropic_takes_either_header(simulator: SimulatorThread) -> None:
    for header in ({"x-api-key": "sk-ant-sim-1"}, {"authorization": "Bearer sk-ant-sim-1"}):
        headers = {**header, "anthropic-version": "2023-06-01"}
        answer = httpx2.get(f"{simulator.url}/anthropic/v1/models", headers=headers)
        assert answer.status_code == 200


def test_unknown_models_are_not_found(ask: Asking) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        ask.openai("sk-sim-ok-1234567890", model="claude-3")
    assert raised.value.code == "model_not_found"
    with pytest.raises(anthropic.NotFoundError, match="model: gpt-4o"):
        ask.anthropic("sk-ant-sim-1234567890", model="gpt-4o")
    with pytest.raises(errors.ClientError, match="ListModels"):
        ask.google("AIza-sim-1234567890", model="gpt-4o")


def test_flaky_keys_recover_after_n_failures(ask: Asking) -> None:
    for key in ("sk-sim-flaky-2-first-key", "sk-sim-flaky-2-second-key"):
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as raised:
                ask.openai(key)
            assert raised.value.status_code == 503
        assert ask.openai(key).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_dropped_connection_is_seen_and_leaves_no_trace_in_the_server_log(
    simulator: SimulatorThread, ask: Asking, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    broken = (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.RemoteProtocolError)
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(broken):
            ask.openai("sk-sim-drop-1234567890", stream)
        with pytest.raises(broken):
            ask.anthropic("sk-ant-sim-drop-1234567890", stream)
        with pytest.raises(broken):
            ask.google("AIza-sim-drop-1234567890", stream)
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
    assert [entry.outcome for entry in list(simulator.app.log)[-3:]] == ["dropped"] * 3


def test_a_dropped_stream_has_delivered_something(simulator: SimulatorThread) -> None:
    url = f"{simulator.url}/openai/v1"
    said: list[str] = []
    with openai.OpenAI(api_key="sk-sim-drop-12345678", base_url=url, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True, extra_headers={"x-sim-tokens": "10"}
        )
        with pytest.raises(openai.APIConnectionError):
            for chunk in stream:
                said.append(chunk.choices[0].delta.content or "")
    assert len(list(filter(None, said))) == 5


def test_an_error_event_ends_the_stream(ask: Asking) -> None:
    with pytest.raises(openai.APIError, match="server had an error"):
        ask.openai("sk-sim-errorevent-123456", stream=True)
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error") as raised:
        ask.anthropic("sk-ant-sim-errorevent-123456", stream=True)
    assert raised.value.status_code == 200
    with pytest.raises(errors.APIError, match="UNAVAILABLE"):
        ask.google("AIza-sim-errorevent-123456", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_garbage_cannot_be_parsed(ask: Asking, stream: bool) -> None:
    unreadable = (ValueError, openai.APIError, anthropic.APIError, errors.UnknownApiResponseError)
    with pytest.raises(unreadable):
        ask.openai("sk-sim-garbage-1234567890", stream)
    with pytest.raises(unreadable):
        ask.anthropic("sk-ant-sim-garbage-1234567890", stream)
    with pytest.raises(unreadable):
        ask.google("AIza-sim-garbage-1234567890", stream)


def test_refusals_and_cut_answers_have_the_providers_reasons(ask: Asking) -> None:
    refused = ask.openai("sk-sim-refuse-1234567890").choices[0]
    cut = ask.openai("sk-sim-cut-1234567890").choices[0]
    assert (refused.finish_reason, cut.finish_reason) == ("content_filter", "length")
    refused, cut = (ask.anthropic(f"sk-ant-sim-{fault}-123456") for fault in ("refuse", "cut"))
    assert (refused.stop_reason, cut.stop_reason) == ("refusal", "max_tokens")
    refused, cut = (
        ask.google(f"AIza-sim-{fault}-123456", stream=True)[-1].candidates[0]
        for fault in ("refuse", "cut")
    )
    assert (refused.finish_reason.value, cut.finish_reason.value) == ("SAFETY", "MAX_TOKENS")
    assert refused.content is None


def test_a_hanging_provider_never_answers(simulator: SimulatorThread) -> None:
    url = f"{simulator.url}/openai/v1"
    with (
        openai.OpenAI(api_key="sk-sim-hang-12345678", base_url=url, max_retries=0) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, timeout=0.2)


def test_a_slow_provider_starts_after_five_seconds(simulator: SimulatorThread) -> None:
    url = f"{simulator.url}/openai/v1"
    with openai.OpenAI(api_key="sk-sim-slow-12345678", base_url=url, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=HELLO, stream=True
        )
        assert raw.headers["x-sim-ttft-ms"] == "5000.000"
        raw.http_response.close()


def test_an_unknown_fault_is_refused(ask: Asking) -> None:
    with pytest.raises(openai.BadRequestError, match="unknown fault"):
        ask.openai("sk-sim-ok-1234567890", extra_headers={"x-sim-fault": "nonsense"})
