"""What happens to calls, for whoever counts or reports them. Sent robustly: a receiver that fails
is logged and never keeps a call from its row. They may be sent on an event loop: receivers don't
use the database.

`call_settled`: `record` (UsageRecord, durable), `operation` (chat, embeddings, count_tokens,
list_models), `lag` (seconds from the call's end to its row).
`call_refused`: `error` (usage.admission.NotAdmitted); nothing was sent and there is no row.
`metrics_read`: before /metrics answers, for figures that are looked up rather than counted.
"""

from __future__ import annotations

from django.dispatch import Signal

call_settled = Signal(use_caching=True)
call_refused = Signal()
metrics_read = Signal()
