"""The contract, part 3: many people on one HTTP client, and nobody's key with another's call."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from providers import registry
from providers.errors import InvalidRequest, KeyRefused
from providers.tests.conftest import FAST, Subject
from providers.tests.wire import KEY, Wire, ask
from providers.vocabulary import ChatResult

POISON = {
    **dict.fromkeys(
        ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        "operators-own-key",
    ),
    **dict.fromkeys(("GOOGLE_API_KEY", "GEMINI_API_KEY"), "operators-own-key"),
    "OPENAI_ORG_ID": "operators-org",
    "OPENAI_PROJECT_ID": "operators-project",
    "OPENAI_WEBHOOK_SECRET": "operators-secret",
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer operators-own-key\nX-Operator: operators",
    "ANTHROPIC_CUSTOM_HEADERS": "Authorization: Bearer operators-own-key\nX-Operator: operators",
    "ANTHROPIC_PROFILE": "operators-profile",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_CLOUD_PROJECT": "operators-project",
    "GOOGLE_CLOUD_LOCATION": "operators-location",
    "GOOGLE_GENAI_API_VERSION": "operators-version",
    "GOOGLE_GENAI_CLIENT_MODE": "replay",
    **dict.fromkeys(
        ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "HTTPS_PROXY"),
        "http://operators.test:9/",
    ),
    **dict.fromkeys(("HTTP_PROXY", "ALL_PROXY", "http_proxy"), "http://operators.test:9/"),
}


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)


@pytest.mark.contract("64 keys at once")
async def test_64_calls_at_once_go_out_each_under_its_own_key(subject: Subject) -> None:
    keys = [subject.key() for _ in range(64)]

    async def call(number: int, key: str) -> None:
        client = subject.client(key)
        if number % 2:
            await client.complete(subject.ask())
        else:
            assert [step async for step in client.stream(subject.ask())]

    await asyncio.gather(*(call(number, key) for number, key in enumerate(keys)))
    assert [len(subject.calls_of(key)) for key in keys] == [1] * 64


@pytest.mark.usefixtures("poisoned")
async def test_the_environment_does_not_change_a_call(subject: Subject) -> None:
    key = subject.key()
    result = await subject.client(key).complete(subject.ask())
    assert "Paris" in result.text
    (call,) = subject.calls_of(key)
    assert "x-operator" not in call.header_names


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("provider", registry.names())
async def test_nothing_of_the_environment_is_sent(provider: str) -> None:
    wire = Wire(httpx2.Response(500, json={}))
    for call in (wire.client(provider).complete(ask()), wire.client(provider).models()):
        with pytest.raises(Exception, match="trouble"):
            await call
    assert len(wire.requests) == 2
    for request in wire.requests:
        assert "operators" not in f"{request.url} {request.headers.raw!r} {request.content!r}"
        assert KEY in str(request.headers.raw)
        assert "" not in request.headers.values()
    assert {request.url.host for request in wire.requests} == {"provider.test"}


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize("key", ["", "  \n", None])
def test_a_missing_key_is_refused_and_never_becomes_the_operators(
    provider: str, key: str | None
) -> None:
    with pytest.raises(KeyRefused):
        Wire(httpx2.Response(200)).client(provider, key)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", registry.names())
@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer another-key"},
        {"X-Goog-Api-Key": "another-key"},
        {"x-api-key": "another-key"},
        {"Host": "elsewhere.test"},
        {"Cookie": "session=1"},
        {"X-Note": "two\r\nX-Lines: 1"},
        {"X-Note": "naïve"},
        {"X Note": "space"},
    ],
)
async def test_extra_headers_change_neither_key_nor_host(
    provider: str, headers: dict[str, str]
) -> None:
    wire = Wire(httpx2.Response(200))
    with pytest.raises(InvalidRequest):
        await wire.client(provider).complete(ask(headers=headers))
    assert wire.requests == []


async def test_two_clients_share_connections_but_nothing_else(subject: Subject) -> None:
    ours, theirs = subject.key(), subject.key()
    for key in (ours, theirs, ours):
        result = await subject.client(key).complete(subject.ask(headers=FAST))
        assert isinstance(result, ChatResult)
    assert (len(subject.calls_of(ours)), len(subject.calls_of(theirs))) == (2, 1)
    assert all("cookie" not in call.header_names for call in subject.calls_of(ours))
