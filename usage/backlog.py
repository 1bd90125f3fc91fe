"""What waits in the database, for /metrics: the same for all processes, so none counts it."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from usage.models import PendingRollup, UsageRecord


class RollupBacklog(Collector):
    """The ledger rows that no roll-up counts yet. Nothing where the database does not answer:
    what was counted is told all the same."""

    def collect(self) -> Iterator[Metric]:
        waiting = UsageRecord.objects.filter(pk__in=PendingRollup.objects.values("record_id"))
        try:
            found = waiting.aggregate(rows=Count("pk"), oldest=Min("created_at"))
        except DatabaseError:
            return
        oldest = found["oldest"]
        lag = 0.0 if oldest is None else (timezone.now() - oldest).total_seconds()
        yield GaugeMetricFamily(
            "byom_rollup_waiting_rows", "Ledger rows not rolled up yet.", value=found["rows"]
        )
        yield GaugeMetricFamily(
            "byom_rollup_lag_seconds", "Age of the oldest of them.", value=max(0.0, lag)
        )


BACKLOG = CollectorRegistry(auto_describe=False)
BACKLOG.register(RollupBacklog())
