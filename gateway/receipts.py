"""The receipt as response headers."""

from __future__ import annotations

from collections.abc import Iterator

from usage.ledger import OpenCall, receipt
from usage.models import UsageRecord


def receipt_headers(
    call: OpenCall, record: UsageRecord | None = None, overhead: float | None = None
) -> Iterator[tuple[str, str]]:
    """What is known only at the end comes with the `record`; `overhead` is our own time, in
    seconds."""
    payer = call.payer
    told = receipt(record) if record else None
    yield "x-byom-call-id", str(call.id)
    yield "x-byom-provider", told.provider if told else payer.provider
    yield "x-byom-model", told.model if told else payer.model
    yield "x-byom-paid-by", told.paid_by if told else payer.paid_by
    yield "x-byom-simulated", "true" if payer.is_simulated else "false"
    if payer.credential_id:
        yield "x-byom-credential", str(payer.credential_id)
    if told and told.cost_usd is not None:
        yield "x-byom-cost-usd", told.cost_usd
    for warning in call.warnings:
        yield "x-byom-warning", warning.replace("“", '"').replace("”", '"')
    if overhead is not None:
        yield "x-byom-overhead-ms", f"{overhead * 1000:.2f}"
