"""The receipt as response headers."""

from __future__ import annotations

from usage.accounts import Payer
from usage.ledger import OpenCall
from usage.memory import ByIdentity
from usage.models import UsageRecord

Pairs = list[tuple[str, str]]


def receipt_headers(
    call: OpenCall, record: UsageRecord | None = None, overhead: float | None = None
) -> Pairs:
    """What is known only at the end comes with the `record`; `overhead` is our own time, in
    seconds."""
    payer = call.payer
    headers = [
        ("x-byom-call-id", call.name),
        ("x-byom-model", (record and record.model_served) or payer.model),
        *_of_payer(payer),
    ]
    if record and record.cost_usd is not None:
        headers.append(("x-byom-cost-usd", f"{record.cost_usd:f}"))
    for warning in call.warnings:
        headers.append(("x-byom-warning", warning.replace("“", '"').replace("”", '"')))
    if overhead is not None:
        headers.append(overhead_header(overhead))
    return headers


def overhead_header(seconds: float) -> tuple[str, str]:
    return "x-byom-overhead-ms", f"{seconds * 1000:.2f}"


def _written_out(payer: Payer) -> Pairs:
    headers = [
        ("x-byom-provider", payer.provider),
        ("x-byom-paid-by", payer.paid_by),
        ("x-byom-simulated", "true" if payer.is_simulated else "false"),
    ]
    if payer.credential_id:
        headers.append(("x-byom-credential", str(payer.credential_id)))
    return headers


_of_payer = ByIdentity(_written_out)
