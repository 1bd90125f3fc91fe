"""What a worker takes, and what the rounds say together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import uvloop

from gateway.speed.load import Tally, Target, load, percentile

CONNECTIONS = (1, 16, 64)
WARM_UP_SECONDS = 0.3
_LOOK_SECONDS = 0.3
_MOST_LOOKS = 100
_QUIET_LOOKS = 6


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds. `first_p50_ms` is the time to the first byte; `cpu_ms` the worker's
    CPU for each request, None where nobody can tell."""

    target: str
    stream: bool
    connections: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    cpu_ms: float | None
    failures: int


@dataclass(frozen=True, slots=True)
class Round:
    tally: Tally
    cpu_seconds: float | None


async def measure(targets: list[Target], *, rounds: int, seconds: float) -> list[Figures]:
    """Every kind of load on every target, in turns, so that all share the machine's moods."""
    for target in targets:
        await settled_down(target.process)
        for stream in (False, True):
            await load(target, connections=16, stream=stream, seconds=WARM_UP_SECONDS)
    found: list[Figures] = []
    for stream in (False, True):
        for connections in CONNECTIONS:
            seen: dict[str, list[Round]] = {target.name: [] for target in targets}
            for _ in range(rounds):
                for target in targets:
                    seen[target.name].append(await _round(target, connections, stream, seconds))
            found += [_together(name, stream, connections, all_) for name, all_ in seen.items()]
    return found


async def settled_down(process: int) -> None:
    """Waits, for a while, until a worker is done with what it does after its start: the SDKs take
    seconds to import. One quiet look is not enough where the machine is busy with other things."""
    quiet = 0
    for _ in range(_MOST_LOOKS):
        before = cpu_seconds(process)
        await asyncio.sleep(_LOOK_SECONDS)
        after = cpu_seconds(process)
        if before is None or after is None:
            return
        quiet = quiet + 1 if after - before < _LOOK_SECONDS / 10 else 0
        if quiet == _QUIET_LOOKS:
            return


async def _round(target: Target, connections: int, stream: bool, seconds: float) -> Round:
    before = cpu_seconds(target.process)
    tally = await load(target, connections=connections, stream=stream, seconds=seconds)
    after = cpu_seconds(target.process)
    spent = None if before is None or after is None else after - before
    return Round(tally, spent)


def _together(name: str, stream: bool, connections: int, rounds: list[Round]) -> Figures:
    tallies = [one.tally for one in rounds]
    done = sum(len(tally.times) for tally in tallies)
    spent = [one.cpu_seconds for one in rounds if one.cpu_seconds is not None]
    return Figures(
        target=name,
        stream=stream,
        connections=connections,
        requests_per_second=round(median(len(t.times) / t.seconds for t in tallies), 1),
        p50_ms=_ms(median(percentile(t.times, 0.5) for t in tallies)),
        p99_ms=_ms(median(percentile(t.times, 0.99) for t in tallies)),
        first_p50_ms=_ms(median(percentile(t.firsts, 0.5) for t in tallies)),
        cpu_ms=_ms(sum(spent) / done) if spent and done else None,
        failures=sum(len(tally.failures) for tally in tallies),
    )


def shares(found: list[Figures]) -> Iterator[dict[str, object]]:
    """The gateway's requests per second as a share of the others', and what it adds to them."""
    by_load = {(one.target, one.stream, one.connections): one for one in found}
    for (target, stream, connections), own in by_load.items():
        if target == "gateway":
            bare = by_load["bare", stream, connections]
            thin = by_load["bare, own client", stream, connections]
            direct = by_load["direct", stream, connections]
            row = by_load.get(("bare, and a row", stream, connections))
            yield {
                "stream": stream,
                "connections": connections,
                "of_bare": _share(own, bare),
                "of_bare_own_client": _share(own, thin),
                "of_direct": _share(own, direct),
                "bare_and_a_row_of_bare": _share(row, bare) if row else None,
                "added_to_bare_p50_ms": round(own.p50_ms - bare.p50_ms, 3),
                "added_to_bare_first_p50_ms": round(own.first_p50_ms - bare.first_p50_ms, 3),
            }


def as_json(found: list[Figures]) -> list[dict[str, object]]:
    return [asdict(one) for one in found]


def cpu_seconds(process: int) -> float | None:
    """User and system time of a process until now, where there is a /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float | None:
    """Resident memory, where there is a /proc."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), None)
    return None if kilobytes is None else round(int(kilobytes) / 1024, 1)


def settle(targets: list[Target]) -> None:
    """Waits until all of them are idle."""
    for target in targets:
        uvloop.run(settled_down(target.process))


def run(targets: list[Target], *, rounds: int, seconds: float) -> list[Figures]:
    return uvloop.run(measure(targets, rounds=rounds, seconds=seconds))


def _share(own: Figures, other: Figures) -> float | None:
    rate = other.requests_per_second
    return round(own.requests_per_second / rate, 3) if rate else None


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
