"""The contract, part 2: whatever goes wrong, callers see `providers.errors` and no key."""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from providers import errors
from providers.adapter import Adapter
from providers.tests.conftest import FAST, Subject
from providers.vocabulary import ChatRequest, Delta, Tool

Kind = type[errors.ProviderError]
Way = Callable[[Adapter, ChatRequest], Coroutine[Any, Any, object]]


async def complete(client: Adapter, request: ChatRequest) -> object:
    return await client.complete(request)


async def stream(client: Adapter, request: ChatRequest) -> object:
    return [step async for step in client.stream(request)]


async def models(client: Adapter, request: ChatRequest) -> object:
    return await client.models()


AT_ONCE = {
    "401": errors.AuthenticationFailed,
    "403": errors.PermissionDenied,
    "429": errors.RateLimited,
    "quota": errors.QuotaSpent,
    "500": errors.Overloaded,
    "503": errors.Overloaded,
    "529": errors.Overloaded,
}
AT_GENERATION = {
    "context": errors.ContextTooLong,
    "garbage": errors.BadAnswer,
    "errorevent": errors.Overloaded,
    "hang": errors.CallTimeout,
    "slow": errors.CallTimeout,
}
CELLS = [
    *((way, fault, kind) for fault, kind in AT_ONCE.items() for way in (complete, stream, models)),
    *((way, fault, kind) for fault, kind in AT_GENERATION.items() for way in (complete, stream)),
    (complete, "drop", errors.ConnectionFailed),
    (stream, "drop", errors.StreamBroken),
]


def chain(error: BaseException | None) -> list[BaseException]:
    """The error and all that led to it."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def assert_key_is_nowhere(error: errors.ProviderError, key: str) -> None:
    texts = [str(error), repr(error), error.detail, "".join(traceback.format_exception(error))]
    texts += [f"{link} {link!r} {vars(link)}" for link in chain(error)]
    assert not [text for text in texts if key in text or key[-12:] in text]


async def failure(
    subject: Subject, way: Way, key: str, request: ChatRequest | None = None, **options: Any
) -> errors.ProviderError:
    """What a call raises; whatever it is, the key must not be in it."""
    client = subject.client(key, **options)
    with pytest.raises(errors.ProviderError) as caught:
        await way(client, request or subject.ask())
    assert_key_is_nowhere(caught.value, key)
    return caught.value


def of_contract(cells: Sequence[tuple[Way, str, Kind]]) -> Iterator[Any]:
    for way, fault, kind in cells:
        mark = pytest.mark.contract(f"error: {kind.code}")
        yield pytest.param(way, fault, kind, marks=mark, id=f"{way.__name__}-{fault}")


@pytest.mark.parametrize(("way", "fault", "kind"), list(of_contract(CELLS)))
async def test_a_fault_becomes_our_own_error(
    subject: Subject, way: Way, fault: str, kind: type[errors.ProviderError]
) -> None:
    timeout = 0.15 if kind is errors.CallTimeout else 30.0
    error = await failure(subject, way, subject.key(fault), timeout=timeout)
    assert type(error) is kind
    assert chain(error) == [error]
    assert "http" not in str(error)


@pytest.mark.contract("error: authentication_failed")
async def test_a_key_of_nobody_is_refused(subject: Subject) -> None:
    error = await failure(subject, complete, "sk-proj-nobodys-key-0123456789")
    assert type(error) is errors.AuthenticationFailed


@pytest.mark.contract("error: model_not_found")
async def test_an_unknown_model_is_said_to_be_one(subject: Subject) -> None:
    request = ChatRequest(model="no-such-model", messages=subject.ask().messages)
    for way in (complete, stream):
        error = await failure(subject, way, subject.key(), request)
        assert type(error) is errors.ModelNotFound


@pytest.mark.contract("error: model_not_found")
async def test_an_unknown_model_is_answered_with_near_names_of_the_providers_own(
    subject: Subject,
) -> None:
    known = (await subject.client().models())[0]
    request = ChatRequest(model=f"x{known}", messages=subject.ask().messages)
    for way in (complete, stream):
        error = await failure(subject, way, subject.key(), request)
        assert isinstance(error, errors.ModelNotFound)
        assert known in error.near
        assert known in str(error)
        assert chain(error) == [error]


@pytest.mark.contract("error: invalid_request")
async def test_an_invalid_request_is_refused_as_such(subject: Subject) -> None:
    tool = Tool("get_time", "", {"type": "object", "properties": {}})
    request = subject.ask(tools=(tool,), tool_choice="no_such_tool")
    error = await failure(subject, complete, subject.key(), request)
    assert type(error) is errors.InvalidRequest
    assert error.detail


@pytest.mark.contract("error: rate_limited")
async def test_a_rate_limit_says_how_long_to_wait(subject: Subject) -> None:
    request = subject.ask(headers={**FAST, "x-sim-retry-after": "7"})
    error = await failure(subject, complete, subject.key("429"), request)
    assert error.retry_after == 7.0
    assert error.upstream_status == 429
    assert error.retryable


async def test_an_error_names_the_providers_request(subject: Subject) -> None:
    error = await failure(subject, complete, subject.key("500"))
    assert bool(error.request_id) is (subject.provider != "google")  # Google sends none


@pytest.mark.contract("error: connection_failed")
async def test_no_answer_at_all_is_a_failed_connection(subject: Subject) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses at once
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        for way in (complete, stream, models):
            error = await failure(subject, way, subject.key(), base_url=url)
            assert type(error) is errors.ConnectionFailed


@pytest.mark.contract("error: stream_broken")
async def test_what_arrived_before_a_break_is_delivered(subject: Subject) -> None:
    seen: list[object] = []
    with pytest.raises(errors.StreamBroken):
        async for step in subject.client(subject.key("drop")).stream(subject.ask()):
            seen.append(step)
    assert any(isinstance(step, Delta) and step.text for step in seen)


async def test_nothing_is_retried(subject: Subject) -> None:
    key = subject.key("500")
    await failure(subject, complete, key)
    assert len(subject.calls_of(key)) == 1


SLOWLY = {"x-sim-ttft-ms": "1", "x-sim-itl-ms": "50", "x-sim-tokens": "400"}


async def gone(subject: Subject, key: str) -> bool:
    """Waits until the simulator has noticed that its client left."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        if any(entry.client_disconnected for entry in subject.calls_of(key)):
            return True
        await asyncio.sleep(0.005)
    return False


async def test_leaving_a_stream_closes_its_connection(subject: Subject) -> None:
    key = subject.key()
    async with aclosing(subject.client(key).stream(subject.ask(headers=SLOWLY))) as steps:
        async for step in steps:
            if isinstance(step, Delta) and step.text:
                break
    assert await gone(subject, key)


async def test_cancelling_a_stream_closes_its_connection(subject: Subject) -> None:
    key = subject.key()
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in subject.client(key).stream(subject.ask(headers=SLOWLY)):
            begun.set()

    task = asyncio.create_task(read())
    async with asyncio.timeout(10):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(subject, key)


async def test_cancelling_a_completion_closes_its_connection(subject: Subject) -> None:
    key = subject.key("hang")
    task = asyncio.create_task(subject.client(key).complete(subject.ask()))
    async with asyncio.timeout(10):
        while not subject.calls_of(key):
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(subject, key)
