"""`python -m benchmarks.simulator.accuracy`: how exact is the simulator's clock on this machine?

Streams answers over raw sockets from a simulator process and prints percentiles of measured
minus true, in milliseconds, for the time to the first token, the mean time between tokens and
the total. What it measures includes the kernel, the loopback and this client: an upper bound.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from benchmarks.simulator.server import SimulatorProcess

TTFT_MS, ITL_MS, TOKENS = 50.0, 5.0, 40
BODY = json.dumps(
    {"model": "sim-1", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
).encode()
STAGGER = 0.0037
Errors = tuple[float, float, float]


def request(host: str) -> bytes:
    head = (
        "POST /openai/v1/chat/completions HTTP/1.1",
        f"host: {host}",
        "authorization: Bearer sk-sim-ok-1234567890",
        f"x-sim-ttft-ms: {TTFT_MS}",
        f"x-sim-itl-ms: {ITL_MS}",
        f"x-sim-tokens: {TOKENS}",
        f"content-length: {len(BODY)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + BODY


async def one_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
) -> Errors:
    """(ttft, itl, total) of one stream, measured minus true, in milliseconds."""
    started = time.perf_counter()
    writer.write(request(host))
    times: list[float] = []
    while (line := await reader.readline()) != b"0\r\n":  # the last chunk
        if line.startswith(b"data: ") and b'"delta":{"content":"' in line:
            times.append(time.perf_counter() - started)
    await reader.readline()
    assert len(times) == TOKENS
    mean = (times[-1] - times[0]) / (TOKENS - 1)
    true_total = TTFT_MS + ITL_MS * (TOKENS - 1)
    return times[0] * 1e3 - TTFT_MS, mean * 1e3 - ITL_MS, times[-1] * 1e3 - true_total


async def one_connection(number: int, host: str, port: int, rounds: int) -> list[Errors]:
    """Its first stream warms the connection up and does not count.

    Starts are staggered: streams of the same instant would measure the queue at the door.
    """
    await asyncio.sleep(number * STAGGER)
    reader, writer = await asyncio.open_connection(host, port)
    errors = [await one_stream(reader, writer, host) for _ in range(rounds + 1)]
    writer.close()
    await writer.wait_closed()
    return errors[1:]


async def measure(url: str, streams: int, rounds: int) -> list[Errors]:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 80
    found = await asyncio.gather(
        *(one_connection(number, host, port, rounds) for number in range(streams))
    )
    return [error for errors in found for error in errors]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def report(streams: int, errors: list[Errors]) -> None:
    for name, column in zip(("ttft", "itl", "total"), zip(*errors, strict=True), strict=True):
        p50, p99 = percentile(column, 0.5), percentile(column, 0.99)
        least = min(column)
        print(f"{streams:4d} streams  {name:5s}  min {least:7.3f}  p50 {p50:7.3f}  p99 {p99:7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    print(f"measured minus true, ms (ttft {TTFT_MS}, itl {ITL_MS}, {TOKENS} tokens)")
    with SimulatorProcess() as simulator:
        for streams in arguments.streams:
            rounds = max(arguments.rounds // (1 if streams < 16 else 4), 1)
            report(streams, asyncio.run(measure(simulator.url, streams, rounds)))


if __name__ == "__main__":
    main()
