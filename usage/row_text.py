"""A ledger row as PostgreSQL reads it from JSON."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING

from usage.memory import ByIdentity
from usage.models import UsageRecord

if TYPE_CHECKING:
    from usage.ledger import OpenCall


def as_json(call: OpenCall, row: UsageRecord) -> str:
    """What is not here is null. Written out, as it takes the
    encoder four times as long to find out what is a text and what a number."""
    account = call.account
    start = account.row_text
    if not start:
        start = account.row_text = _start(row)
    text = (
        f'{{"id":"{call.name}"{start},"model_served":{_quoted(row.model_served)}'
        f',"input_tokens":{row.input_tokens},"output_tokens":{row.output_tokens}'
        f',"cache_read_tokens":{row.cache_read_tokens}'
        f',"cache_write_tokens":{row.cache_write_tokens}'
        f',"reasoning_tokens":{row.reasoning_tokens}'
        f',"cache_write_1h_tokens":{row.cache_write_1h_tokens}'
        f',"service_tier":{_quoted(row.service_tier)},"usage_source":"{row.usage_source}"'
        f',"unit_prices":{_prices_as_json(row.unit_prices)}'
        f',"price_source":{_quoted(row.price_source)},"latency_ms":{row.latency_ms!r}'
        f',"status":"{row.status}","error_code":{_quoted(row.error_code)}'
        f',"retries":{row.retries},"request_id":{_quoted(row.request_id)}'
    )
    if (cost := row.cost_usd) is not None:
        text += f',"cost_usd":"{cost}"'
    if (ttft := row.ttft_ms) is not None:
        text += f',"ttft_ms":{ttft!r}'
    if call.attempt_of is not None:
        text += f',"attempt_of":"{call.attempt_of}"'
    return text + "}"


def _start(row: UsageRecord) -> str:
    """What all rows of an account have in common."""
    text = (
        f',"surface":"{row.surface}","provider":{_quoted(row.provider)}'
        f',"model":{_quoted(row.model)},"paid_by":"{row.paid_by}"'
        f',"is_simulated":{"true" if row.is_simulated else "false"}'
    )
    for column in ("user_id", "access_token_id", "credential_id", "session_id"):
        if (value := getattr(row, column)) is not None:
            text += f',"{column}":"{value}"'
    return text


_prices_as_json = ByIdentity(json.dumps)
