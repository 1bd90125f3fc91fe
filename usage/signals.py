"""What happens to calls, for whoever counts or reports them. Sent robustly: a receiver that fails
is logged and never keeps a call from its row. They may be sent on an event loop: receivers don't
use the database.

`calls_settled`: `calls` (Settled, one or many; in a server up to `telling.SECONDS` after their
rows, but before its own /metrics answers).
`call_refused`: `error` (usage.admission.NotAdmitted); nothing was sent and there is no row.
`metrics_read`: before /metrics answers, for figures that are looked up rather than counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.dispatch import Signal

if TYPE_CHECKING:
    from usage.models import UsageRecord


class Settled(NamedTuple):
    """A call whose row is durable. `operation` is chat, embeddings, count_tokens or list_models,
    `lag` the seconds from the call's end to its row, `since` those from its end until now."""

    record: UsageRecord
    operation: str
    lag: float
    since: float


calls_settled = Signal(use_caching=True)
call_refused = Signal()
metrics_read = Signal()
