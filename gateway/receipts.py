"""The receipt as response headers."""

from __future__ import annotations

from collections.abc import Iterator

from usage.ledger import OpenCall
from usage.models import UsageRecord


def receipt_headers(
    call: OpenCall, record: UsageRecord | None = None, overhead: float | None = None
) -> Iterator[tuple[str, str]]:
    """What is known only at the end comes with the `record`; `overhead` is our own time, in
    seconds."""
    payer = call.payer
    yield "x-byom-call-id", str(call.id)
    yield "x-byom-provider", payer.provider
    yield "x-byom-model", (record and record.model_served) or payer.model
    yield "x-byom-paid-by", payer.paid_by
    yield "x-byom-simulated", "true" if payer.is_simulated else "false"
    if payer.credential_id:
        yield "x-byom-credential", str(payer.credential_id)
    if record and record.cost_usd is not None:
        yield "x-byom-cost-usd", f"{record.cost_usd:f}"
    for warning in call.warnings:
        yield "x-byom-warning", warning.replace("“", '"').replace("”", '"')
    if overhead is not None:
        yield "x-byom-overhead-ms", f"{overhead * 1000:.2f}"
