"""How a model did over time, from run to run, and at which hours of the day."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.utils import timezone

from benchmarks.models import BenchmarkRun, BenchmarkSample
from benchmarks.plots.axes import dollars, milliseconds
from benchmarks.plots.figure import Figure, Table
from benchmarks.plots.lines import lines
from benchmarks.summary import percentile
from providers import registry
from usage.templatetags.usage_format import count, duration, usd

DAYS = (30, 90, 365)
MOST_RUNS, MOST_CALLS = 300, 50_000
FEWEST_IN_HOUR = 6  # a median of fewer has no interval


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at. Simulated answers are never mixed with real ones, nor what was measured
    under one `load` with what was under another ("": one streamed call at a time)."""

    provider: str
    model: str
    simulated: bool
    load: str = ""

    def __str__(self) -> str:
        name = f"{registry.label(self.provider)} {self.model}"
        name = f"{name} (simulated)" if self.simulated else name
        return f"{name}, {self.load}" if self.load else name

    @property
    def key(self) -> str:
        plain = f"{self.provider}:{self.model}:{int(self.simulated)}"
        return f"{plain}:{self.load}" if self.load else plain


class Past(NamedTuple):
    """An earlier run."""

    pk: uuid.UUID
    at: datetime
    load: str


@dataclass(frozen=True, slots=True)
class Point:
    """One run's figures of the subject; times in milliseconds."""

    at: datetime
    calls: int
    failed: int
    latency: float | None
    high: float | None
    first: float | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class History:
    """Everything that runs of `days` have to say: entries of their summaries, the oldest first."""

    entries: list[tuple[Past, Mapping[str, Any]]]

    @property
    def subjects(self) -> list[Subject]:
        """Those of most runs first."""
        found = Counter(_subject(*one) for one in self.entries if one[1]["prompt"] is None)
        return [subject for subject, _ in found.most_common()]

    def prompts(self, subject: Subject) -> list[str]:
        named = (e["prompt"] for _, e in self._of(subject) if e["prompt"])
        return [prompt for prompt, _ in Counter(named).most_common()]

    def runs(self, subject: Subject) -> set[uuid.UUID]:
        return {run.pk for run, _ in self._of(subject)}

    def points(self, subject: Subject, prompt: str) -> list[Point]:
        return [
            _point(run, entry)
            for run, entry in self._of(subject)
            if entry["prompt"] == prompt and entry["calls"]
        ]

    def _of(self, subject: Subject) -> list[tuple[Past, Mapping[str, Any]]]:
        return [one for one in self.entries if _subject(*one) == subject]


def history(user: Any, days: int) -> History:
    since = timezone.now() - timedelta(days=days)
    runs = BenchmarkRun.objects.owned_by(user).filter(created_at__gte=since, done__gt=0)
    latest = runs.values_list(
        "pk", "created_at", "summary", "plan__concurrency", "plan__rate", "plan__stream"
    )
    return History(
        [
            (Past(pk, at, _load(*plan)), entry)
            for pk, at, summary, *plan in reversed(latest[:MOST_RUNS])
            for entry in summary
        ]
    )


def _load(levels: Any, rate: Any, stream: Any) -> str:
    """In words; nothing for the usual. Before schema version 3 `levels` was one number."""
    numbers = levels if isinstance(levels, list) else [levels]
    load = f"{rate:g} a second" if rate else f"{', '.join(map(str, numbers))} at a time"
    parts = ([load] if rate or numbers != [1] else []) + ["whole answers"] * (stream is False)
    return ", ".join(parts)


def _subject(run: Past, entry: Mapping[str, Any]) -> Subject:
    return Subject(entry["provider"], entry["model"], bool(entry["simulated"]), run.load)


def _point(run: Past, entry: Mapping[str, Any]) -> Point:
    centre, cost = entry["median"] or {}, entry["cost_per_1000_usd"]
    seconds, first = centre.get("time_s"), centre.get("ttft_s")
    high = (entry["latency_ms"] or {}).get("p95") or {}
    return Point(
        at=run.at,
        calls=entry["calls"],
        failed=entry["failed"],
        latency=None if seconds is None else seconds * 1000,
        high=high.get("value"),
        first=None if first is None else first * 1000,
        cost=None if cost is None else Decimal(cost),
    )


def over_time(points: Sequence[Point], zone: ZoneInfo) -> Iterator[Figure]:
    """Times and cost, run by run."""
    times = {
        "Median": [(p.at.timestamp(), p.latency) for p in points if p.latency is not None],
        "95%": [(p.at.timestamp(), p.high) for p in points if p.high is not None],
        "First token, median": [(p.at.timestamp(), p.first) for p in points if p.first is not None],
    }
    times = {name: found for name, found in times.items() if found}
    below = _dates(points, zone)
    if times:
        high = max(y for found in times.values() for _, y in found)
        yield lines(
            key="trend-times",
            title="Times, run by run",
            series=times,
            below=below,
            show=milliseconds(high),
            table=_times_table(points, zone),
        )
    costs = [(p.at.timestamp(), float(p.cost)) for p in points if p.cost is not None]
    if costs:
        yield lines(
            key="trend-cost",
            title="Cost of 1,000 calls, run by run",
            series={"1,000 calls": costs},
            below=below,
            show=dollars,
            table=_cost_table(points, zone),
        )


def _dates(points: Sequence[Point], zone: ZoneInfo) -> list[tuple[float, str]]:
    """The first, the last, and two between them, each day once."""
    first, last = points[0].at, points[-1].at
    moments = [first + (last - first) * part / 3 for part in range(4)]
    words = {f"{at.astimezone(zone):%-d %b}": at.timestamp() for at in moments}
    return [(at, word) for word, at in words.items()]


def _day(point: Point, zone: ZoneInfo) -> str:
    return f"{point.at.astimezone(zone):%-d %b %Y, %H:%M}"


def _times_table(points: Sequence[Point], zone: ZoneInfo) -> Table:
    headers = ("Run", "Calls", "Median", "95%", "First token")
    rows = [
        (
            _day(p, zone),
            count(p.calls),
            duration(p.latency),
            duration(p.high),
            duration(p.first),
        )
        for p in reversed(points)
    ]
    return Table(headers, rows)


def _cost_table(points: Sequence[Point], zone: ZoneInfo) -> Table:
    rows = [(_day(p, zone), usd(p.cost)) for p in reversed(points)]
    return Table(("Run", "1,000 calls"), rows)


def by_hour(
    runs: Collection[uuid.UUID], subject: Subject, prompt: str, zone: ZoneInfo
) -> Figure | None:
    """Response time by hour of the day in `zone`, of the latest 50,000 calls."""
    hours = _hours(runs, subject, prompt, zone)
    known = {hour: found for hour, found in hours.items() if len(found) >= FEWEST_IN_HOUR}
    if not known:
        return None
    series = {
        "Median": [(float(hour), percentile(known[hour], 50)) for hour in sorted(known)],
        "90%": [(float(hour), percentile(known[hour], 90)) for hour in sorted(known)],
    }
    high = max(y for _, y in series["90%"])
    rows = [
        (
            f"{hour:02}:00",
            count(len(hours[hour])),
            duration(percentile(hours[hour], 50)) if hour in known else "–",
            duration(percentile(hours[hour], 90)) if hour in known else "–",
        )
        for hour in sorted(hours)
    ]
    return lines(
        key="trend-hours",
        title="Response time by hour of the day",
        series=series,
        below=[(float(hour), f"{hour:02}:00") for hour in (0, 6, 12, 18, 23)],
        show=milliseconds(high),
        table=Table(("Hour", "Calls", "Median", "90%"), rows),
        note=f"Of calls that succeeded. An hour needs {FEWEST_IN_HOUR} of them.",
    )


def _hours(
    runs: Collection[uuid.UUID], subject: Subject, prompt: str, zone: ZoneInfo
) -> dict[int, list[float]]:
    rows = BenchmarkSample.objects.filter(
        run__in=runs,
        provider=subject.provider,
        model=subject.model,
        is_simulated=subject.simulated,
        prompt=prompt,
        is_cold=False,
        status="ok",
    )
    found: dict[int, list[float]] = {}
    latest = rows.order_by("-started_at").values_list("started_at", "latency_ms")[:MOST_CALLS]
    for at, latency in latest.iterator(chunk_size=5_000):
        found.setdefault(at.astimezone(zone).hour, []).append(latency)
    return found
