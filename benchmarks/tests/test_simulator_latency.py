"""Latency is what was asked for: never early, in order, and told in the headers."""

import asyncio
import sys
import time
from collections.abc import Iterator

import httpx2
import pytest

from benchmarks.simulator.accuracy import measure
from benchmarks.simulator.clock import Clock, LoopTimer, TimerFd
from benchmarks.simulator.plan import schedule
from benchmarks.simulator.prompt import Answer, Part
from benchmarks.simulator.server import SimulatorProcess, SimulatorThread
from benchmarks.simulator.settings import Behaviour, SimulatorSettings

KEY = {"authorization": "Bearer sk-sim-ok-1234567890"}
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread() as running:
        yield running


@pytest.fixture
def client(simulator: SimulatorThread) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=simulator.url, headers=KEY) as client:
        yield client


def pace(ttft: float, itl: float, tokens: int) -> dict[str, str]:
    return {"x-sim-ttft-ms": str(ttft), "x-sim-itl-ms": str(itl), "x-sim-tokens": str(tokens)}


def content_times(client: httpx2.Client, headers: dict[str, str]) -> list[float]:
    """Milliseconds from before the request to each content event."""
    times = []
    started = time.perf_counter()
    body = {**ASKED, "stream": True}
    with client.stream("POST", "/openai/v1/chat/completions", json=body, headers=headers) as answer:
        for line in answer.iter_lines():
            if '"content":"' in line and "role" not in line:
                times.append((time.perf_counter() - started) * 1e3)
    return times


def test_no_token_comes_early(client: httpx2.Client) -> None:
    times = content_times(client, pace(60, 10, 8))
    assert len(times) == 8
    assert all(moment >= 60 + 10 * k for k, moment in enumerate(times))
    assert times == sorted(times)


def test_tokens_come_one_by_one_not_in_a_heap(client: httpx2.Client) -> None:
    times = content_times(client, pace(10, 100, 4))
    assert times[-1] - times[0] > 100  # of 300; this machine may have been busy at the start


def test_a_whole_answer_takes_as_long_as_its_last_token(client: httpx2.Client) -> None:
    started = time.perf_counter()
    answer = client.post("/openai/v1/chat/completions", json=ASKED, headers=pace(30, 5, 11))
    assert (time.perf_counter() - started) * 1e3 >= 80
    assert answer.headers["x-sim-ttft-ms"] == "30.000"
    assert answer.headers["x-sim-latency-ms"] == "80.000"
    assert answer.headers["x-sim-tokens"] == "11"


def test_several_tokens_per_event_leave_with_the_first_of_them(client: httpx2.Client) -> None:
    times = content_times(client, {**pace(10, 10, 9), "x-sim-chunk": "4"})
    assert len(times) == 3
    assert all(moment >= 10 + 40 * k for k, moment in enumerate(times))


@pytest.mark.parametrize("timer", [LoopTimer, TimerFd])
def test_the_clock_wakes_in_order_and_never_early(timer: type[LoopTimer | TimerFd]) -> None:
    if timer is TimerFd and sys.platform != "linux":
        pytest.skip("timerfd is Linux's")
    woken: list[int] = []

    async def wait(ticking: Clock, number: int, start: float) -> None:
        deadline = start + number * 0.003
        assert await ticking.until(deadline, asyncio.get_running_loop().create_future())
        assert time.monotonic() >= deadline
        woken.append(number)

    async def main() -> None:
        with Clock(timer) as ticking:
            start = time.monotonic()
            await asyncio.gather(*(wait(ticking, number, start) for number in (5, 1, 9, 0, 3)))

    asyncio.run(main())
    assert woken == [0, 1, 3, 5, 9]


def test_a_client_that_leaves_ends_the_wait() -> None:
    async def main() -> bool:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, gone.set_result, None)
        with Clock() as ticking:
            return await ticking.until(time.monotonic() + 60, gone)

    assert asyncio.run(main()) is False


def test_providers_can_differ() -> None:
    settings = SimulatorSettings(ttft_ms=10, per_provider={"google": {"ttft_ms": 99}})
    assert settings.behaviour("openai", {}).ttft_ms == 10
    assert settings.behaviour("google", {}).ttft_ms == 99
    assert settings.behaviour("google", {"x-sim-ttft-ms": "5"}).ttft_ms == 5


def test_jitter_is_the_same_for_the_same_seed_and_only_ever_late() -> None:
    answer = Answer((Part(("x",) * 50),), "stop", 1)
    plain = schedule(answer, Behaviour(ttft_ms=5, itl_ms=1))
    jittered = [schedule(answer, Behaviour(5, 1, jitter_ms=4, seed=seed)) for seed in (1, 1, 2)]
    assert jittered[0] == jittered[1] != jittered[2]
    assert jittered[0] == sorted(jittered[0])
    assert all(late - on >= 0 for on, late in zip(plain, jittered[0], strict=True))


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e99", "abc", "", "9" * 5000])
def test_nonsense_in_a_header_is_refused(client: httpx2.Client, value: str) -> None:
    answer = client.post(
        "/openai/v1/chat/completions", json=ASKED, headers={"x-sim-ttft-ms": value}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def _measured(url: str) -> list[tuple[float, float, float]]:
    return await measure(url, streams=2, rounds=1)


def test_a_process_of_its_own_serves_and_stops() -> None:
    with SimulatorProcess(["--ttft-ms", "1", "--itl-ms", "0"]) as simulator:
        assert "simulated answers" in httpx2.get(simulator.url).text
        errors = asyncio.run(_measured(simulator.url))
        assert all(ttft >= 0 for ttft, _, _ in errors)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(simulator.url)
