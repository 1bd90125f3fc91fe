"""What Prometheus reads at /metrics.

With PROMETHEUS_MULTIPROC_DIR all server processes count into files of one directory, and any of
them answers for all. Labels have few values each: a model that has no price is `other`, since
callers may write anything there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.dispatch import receiver
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from credentials.vault import PURPOSES, reveals
from usage.backlog import BACKLOG
from usage.models import Status, UsageRecord
from usage.signals import Settled, call_refused, calls_settled, metrics_read

BY_CALL = ("provider", "model", "surface", "status")
BY_MODEL = ("provider", "model", "surface")
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
OTHER = "other"

CALLS = Counter("byom_calls", "Provider calls.", BY_CALL)
TOKENS = Counter("byom_tokens", "Tokens, by kind (input, output).", (*BY_MODEL, "kind"))
COST = Counter("byom_cost_usd", "Cost in USD, where a price is known.", BY_MODEL)
UNPRICED = Counter("byom_unpriced_calls", "Calls that used tokens of no known price.", BY_MODEL)
LATENCY = Histogram("byom_call_seconds", "Duration of calls.", BY_CALL, buckets=SECONDS)
FIRST_TOKEN = Histogram(
    "byom_first_token_seconds", "Time to the first token.", BY_CALL, buckets=SECONDS
)
ERRORS = Counter("byom_call_errors", "Calls that failed, by class.", ("provider", "error"))
REFUSED = Counter("byom_calls_refused", "Calls that were not admitted, by reason.", ("reason",))
REVEALS = Counter("byom_vault_reveals", "Keys opened, by purpose.", ("purpose",))
LEDGER_LAG = Histogram(
    "byom_ledger_lag_seconds", "From the end of a call to its ledger row.", buckets=LAG_SECONDS
)
SUSPENDED = Gauge(
    "byom_suspended_keys", "Keys that no call goes out on for now, as calls kept failing.",
    ("provider",), multiprocess_mode="livesum",
)  # fmt: skip


def exposition() -> bytes:
    """Everything counted so far, and what waits now, in Prometheus' text format."""
    metrics_read.send_robust(exposition)
    return generate_latest(_counted()) + generate_latest(BACKLOG)


def _counted() -> CollectorRegistry:
    if not settings.METRICS_DIR:
        return REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=settings.METRICS_DIR)  # type: ignore[no-untyped-call]
    return registry


Count = Callable[[float], object]
Observe = Callable[[Iterable[float]], object]


class _Series(NamedTuple):
    """The time series that calls of one kind count in."""

    calls: Count
    latency: Observe
    first_token: Observe
    read: Count
    written: Count
    cost: Count


@lru_cache(4096)  # to find a series takes ten times as long as to count in it
def _series(provider: str, model: str, surface: str, status: str) -> _Series:
    by_model = (provider, model, surface)
    by_call = (*by_model, status)
    return _Series(
        calls=adding(CALLS.labels(*by_call)),
        latency=observing(LATENCY.labels(*by_call)),
        first_token=observing(FIRST_TOKEN.labels(*by_call)),
        read=adding(TOKENS.labels(*by_model, "input")),
        written=adding(TOKENS.labels(*by_model, "output")),
        cost=adding(COST.labels(*by_model)),
    )


def adding(counter: Counter) -> Count:
    """`counter.inc` without its checks, which take three times as long as the counting: a gateway's
    call counts eight times. A test holds what this reaches for against the package's own way."""
    count: Count = counter._value.inc
    return count


def observing(histogram: Histogram) -> Observe:
    """`histogram.observe` in the same way, of many amounts."""
    add, bounds = histogram._sum.inc, histogram._upper_bounds
    counts = [bucket.inc for bucket in histogram._buckets]

    def observe(amounts: Iterable[float]) -> None:
        total, found = 0.0, defaultdict[int, int](int)
        for amount in amounts:
            total += amount
            found[bisect_left(bounds, amount)] += 1
        add(total)
        for at, number in found.items():
            counts[at](number)

    return observe


_observe_lag = observing(LEDGER_LAG)


@receiver(calls_settled)
def count_calls(sender: Any, calls: Sequence[Settled], **kwargs: Any) -> None:
    """Those that were settled together count together, as each count takes a lock."""
    _observe_lag([max(0.0, call.lag) for call in calls])
    alike: dict[tuple[str, str, str, str], list[UsageRecord]] = defaultdict(list)
    for call in calls:
        record = call.record
        model = record.model if record.price_source else OTHER
        alike[record.provider, model, record.surface, record.status].append(record)
    for kind, records in alike.items():
        _count(_series(*kind), records)
        if kind[3] == Status.ERROR or any(record.cost_usd is None for record in records):
            _count_trouble(*kind, records)


def _count(series: _Series, records: Sequence[UsageRecord]) -> None:
    series.calls(len(records))
    series.latency([record.latency_ms / 1000 for record in records])
    if firsts := [one.ttft_ms / 1000 for one in records if one.ttft_ms is not None]:
        series.first_token(firsts)
    series.read(sum([record.input_tokens for record in records]))
    series.written(sum([record.output_tokens for record in records]))
    series.cost(float(sum([record.cost_usd or 0 for record in records])))


def _count_trouble(
    provider: str, model: str, surface: str, status: str, records: Sequence[UsageRecord]
) -> None:
    unpriced = sum(record.cost_usd is None and record.total_tokens > 0 for record in records)
    if unpriced:
        UNPRICED.labels(provider, model, surface).inc(unpriced)
    for record in records if status == Status.ERROR else ():
        ERRORS.labels(provider, record.error_code).inc()


@receiver(call_refused)
def count_refusal(sender: Any, error: Any, **kwargs: Any) -> None:
    REFUSED.labels(error.code).inc()


_REVEALED = {purpose: adding(REVEALS.labels(purpose)) for purpose in PURPOSES}


def count_reveal(purpose: str) -> None:
    _REVEALED[purpose](1)


reveals.listeners.append(count_reveal)
