"""The HTTP side: hostile bodies, the log, clients that leave, mounting, shutting down."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.simulator.app import SimulatorApp, create_app
from benchmarks.simulator.log import Entry
from benchmarks.simulator.server import SimulatorThread
from benchmarks.simulator.settings import SimulatorSettings

KEY = "sk-sim-ok-1234567890"
HEADERS = {"authorization": f"Bearer {KEY}", "x-goog-api-key": KEY, "anthropic-version": "1"}
ENDPOINTS = (
    "/openai/v1/chat/completions",
    "/openai/v1/responses",
    "/openai/v1/embeddings",
    "/anthropic/v1/messages",
    "/anthropic/v1/messages/count_tokens",
    "/google/v1beta/models/gemini-2.5-flash:generateContent",
    "/google/v1beta/models/gemini-2.5-flash:streamGenerateContent",
    "/google/v1beta/models/gemini-2.5-flash:countTokens",
    "/google/v1beta/models/gemini-embedding-001:batchEmbedContents",
)
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(SimulatorSettings(ttft_ms=0, itl_ms=0)) as running:
        yield running


@pytest.fixture(scope="module")
def client(simulator: SimulatorThread) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.url, headers=HEADERS) as client:
        yield client


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the simulator's thread has caught up."""
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def assert_shaped(path: str, answer: httpx2.Response) -> None:
    """A provider-shaped 400 or 404, never a 500."""
    assert answer.status_code in (400, 404), answer.text
    error = answer.json()["error"]
    assert isinstance(error["message"], str)
    if path.startswith("/openai"):
        assert set(error) == {"message", "type", "param", "code"}
    elif path.startswith("/anthropic"):
        assert answer.json()["type"] == "error" and error["type"].endswith("_error")
    else:
        assert error["code"] == answer.status_code and error["status"]


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"model": NaN}',
        b'{"model": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model": "gpt-4o", "messages": null, "contents": null}',
        b'{"model": "claude-x", "max_tokens": 1, "messages": "hello", "contents": "hello"}',
        b'{"model": "gpt-4o", "messages": [null], "contents": [null], "input": [null]}',
        b'{"model": "gpt-4o", "max_tokens": 1e999, "messages": [], "contents": [{}]}',
        b'{"model": ' + b"9" * 10_000 + b"}",
    ],
)
def test_hostile_bodies_get_a_provider_shaped_400(
    client: httpx2.Client, path: str, body: bytes
) -> None:
    assert_shaped(path, client.post(path, content=body))


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": -1},
        {"max_tokens": True},
        {"tools": "x"},
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "function": {"name": "no spaces allowed"}}]},
        {"tool_choice": 3},
        {
            "tool_choice": {"type": "function", "function": {"name": "absent"}},
            "tools": [{"type": "function", "function": {"name": "present"}}],
        },
        {"stop": [1]},
        {"stream": "yes"},
        {"response_format": {"type": "yaml"}},
        {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
        {"messages": [{"role": "pope", "content": "y"}]},
        {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
        {"model": "gpt-5-mini", "max_tokens": 5},
    ],
)
def test_wrong_parameters_are_refused(client: httpx2.Client, extra: dict[str, Any]) -> None:
    path = "/openai/v1/chat/completions"
    assert_shaped(path, client.post(path, json={**CHAT, **extra}))


NAMES = """
    role content type text name tools function parameters messages contents parts id tool_calls
    arguments input properties items required enum anyOf $ref schema
""".split()  # noqa: SIM905
PARAMETERS = """
    model messages contents input tools tool_choice stop max_tokens stream system format text
    response_format output_config generationConfig toolConfig stream_options thinking
""".split()  # noqa: SIM905

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "tool", "text", "gpt-4o", "claude-x", "function"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(PARAMETERS)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ENDPOINTS), st.dictionaries(FIELDS, JSON, max_size=5), st.booleans())
def test_no_body_makes_it_fail(
    client: httpx2.Client, path: str, body: dict[str, Any], sensible: bool
) -> None:
    base: dict[str, Any] = {**CHAT, "max_tokens": 5, "contents": [{"parts": [{"text": "hi"}]}]}
    if path.startswith("/anthropic"):
        base["model"] = "claude-haiku-4-5"
    merged = {**base, **body} if sensible else body
    answer = client.post(path, content=json.dumps(merged).encode())
    if answer.status_code != 200:
        assert_shaped(path, answer)


def test_a_lone_surrogate_is_survived(client: httpx2.Client) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud800 hi"}]}'
    assert client.post("/openai/v1/chat/completions", content=body).status_code == 200


def test_a_body_above_32_mb_is_too_large(client: httpx2.Client) -> None:
    answer = client.post("/anthropic/v1/messages", content=b" " * (32 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


def test_a_compressed_body_is_refused_not_guessed_at(client: httpx2.Client) -> None:
    path = "/openai/v1/chat/completions"
    assert_shaped(path, client.post(path, content=gzip.compress(json.dumps(CHAT).encode())))


def test_unknown_paths_and_methods_are_refused(client: httpx2.Client) -> None:
    assert_shaped("/openai/v1/nothing", client.post("/openai/v1/nothing", json={}))
    assert_shaped("/anthropic/v1/nothing", client.post("/anthropic/v1/nothing", json={}))
    assert_shaped("/google/v1beta/nothing", client.post("/google/v1beta/nothing", json={}))
    assert client.get("/openai/v1/chat/completions").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_the_front_page_says_that_it_is_simulated(client: httpx2.Client) -> None:
    page = client.get("/")
    assert "BYOM provider simulator: simulated answers" in page.text
    assert page.headers["x-simulated"] == "true"


def test_the_log_knows_the_key_only_by_its_hash(
    simulator: SimulatorThread, client: httpx2.Client
) -> None:
    client.delete("/_sim/log")
    client.post("/openai/v1/chat/completions", json=CHAT, headers={"x-test": "secret-value"})
    text = client.get("/_sim/log").text
    entry = json.loads(text)["entries"][0]
    assert KEY not in text and "secret-value" not in text
    assert entry["key_last4"] == "7890" and len(entry["key_sha256"]) == 64
    assert (entry["dialect"], entry["model"], entry["outcome"]) == ("openai", "gpt-4o-mini", "ok")
    assert "x-test" in entry["header_names"] and entry["output_tokens"] > 0
    assert client.delete("/_sim/log").status_code == 204
    assert len(simulator.app.log) == 0


def test_a_google_key_in_the_query_is_not_logged(client: httpx2.Client) -> None:
    client.delete("/_sim/log")
    client.get("/google/v1beta/models?key=AIza-sim-in-the-query", headers={"x-goog-api-key": ""})
    assert "in-the-query" not in client.get("/_sim/log").text


def test_the_log_notices_a_client_that_leaves(
    simulator: SimulatorThread, client: httpx2.Client
) -> None:
    headers = {"x-sim-ttft-ms": "0", "x-sim-itl-ms": "60000", "x-sim-tokens": "5"}
    body = {**CHAT, "stream": True}
    path = "/openai/v1/chat/completions"
    with client.stream("POST", path, json=body, headers=headers) as answer:
        next(answer.iter_bytes())
    entry: Entry = simulator.app.log[-1]
    wait_for(lambda: entry.client_disconnected)
    assert (entry.outcome, entry.stream, entry.status) == ("client gone", True, 200)


def test_a_client_that_leaves_before_the_answer_is_noticed_too(
    simulator: SimulatorThread, client: httpx2.Client
) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        client.post(
            "/openai/v1/chat/completions",
            json=CHAT,
            headers={"x-sim-ttft-ms": "60000"},
            timeout=0.1,
        )
    entry = simulator.app.log[-1]
    wait_for(lambda: entry.client_disconnected)


def test_a_gemini_stream_without_sse_is_one_json_array(client: httpx2.Client) -> None:
    body = {"contents": [{"parts": [{"text": "hello"}]}]}
    path = "/google/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    chunks = client.post(path, json=body).json()
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert len(chunks) > 2


def test_connections_are_reused_after_a_stream(client: httpx2.Client) -> None:
    path = "/openai/v1/chat/completions"
    for _ in range(3):
        answer = client.post(path, json={**CHAT, "stream": True})
        assert answer.text.endswith("data: [DONE]\n\n")
        assert "connection" not in answer.headers


def test_it_stops_at_once_even_while_a_client_waits() -> None:
    running = SimulatorThread(SimulatorSettings(ttft_ms=60_000)).start()
    with httpx2.Client(base_url=running.url, headers=HEADERS) as client:
        body = {**CHAT, "stream": True}
        with client.stream("POST", "/openai/v1/chat/completions", json=body) as answer:
            chunks = answer.iter_bytes()
            next(chunks)
            started = time.monotonic()
            running.stop()
            assert time.monotonic() - started < 3
            with pytest.raises(httpx2.RemoteProtocolError):
                list(chunks)


def mounted(app: SimulatorApp, **scope: Any) -> httpx2.ASGITransport:
    async def outer(inner: Any, receive: Any, send: Any) -> None:
        await app({**inner, **scope}, receive, send)

    return httpx2.ASGITransport(app=outer)


@pytest.mark.parametrize(
    ("prefix", "root_path"), [("/simulator", ""), ("", "/simulator"), ("/simulator/", "/")]
)
def test_it_can_be_mounted_under_a_prefix(prefix: str, root_path: str) -> None:
    import asyncio

    async def ask() -> httpx2.Response:
        transport = mounted(create_app(prefix=prefix), root_path=root_path)
        async with httpx2.AsyncClient(transport=transport, headers=HEADERS) as client:
            return await client.post("http://x/simulator/openai/v1/chat/completions", json=CHAT)

    assert asyncio.run(ask()).json()["object"] == "chat.completion"
