"""OpenTelemetry spans: one for each provider call, made when it is settled, with the attributes of
the conventions for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/).

Never a prompt, an answer, a key or a name of a person: only what the ledger's row says. Imported
only with BYOM_OTEL=on, as the packages are an extra (requirements-otel.in). Where spans go, and
which ones, is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT and so on. The
tracer is our own and not the process's, so that no SDK starts to trace, prompts and all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import time_ns
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from usage.models import Status, UsageRecord
from usage.signals import Settled, calls_settled

# What the conventions call our providers, where it is not our own name.
PROVIDERS = {"google": "gcp.gemini"}
NANO = 1_000_000_000


def start() -> None:
    """From here on every call of this process is traced."""
    trace_to(BatchSpanProcessor(OTLPSpanExporter()))


def trace_to(processor: SpanProcessor) -> TracerProvider:
    """Sends all spans to `processor`, and to no other any more."""
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "byom"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("byom")

    def trace(sender: Any, calls: Sequence[Settled], **kwargs: Any) -> None:
        for call in calls:
            _trace(tracer, call.record, call.operation, call.since)

    calls_settled.disconnect(dispatch_uid=__name__)
    calls_settled.connect(trace, weak=False, dispatch_uid=__name__)
    return provider


def _trace(tracer: Tracer, record: UsageRecord, operation: str, since: float) -> None:
    end = time_ns() - int(since * NANO)
    span = tracer.start_span(
        f"{operation} {record.model}".strip(),
        kind=SpanKind.CLIENT,
        start_time=end - int(record.latency_ms * 1_000_000),
        attributes=attributes(record, operation),
    )
    if record.status == Status.ERROR:
        span.set_status(StatusCode.ERROR)
    span.end(end)


def attributes(record: UsageRecord, operation: str) -> dict[str, str | int | float | bool]:
    """What is not known is left out."""
    ttft = None if record.ttft_ms is None else record.ttft_ms / 1000
    found: dict[str, str | int | float | bool | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDERS.get(record.provider, record.provider),
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.model_served,
        "gen_ai.conversation.id": str(record.session_id or ""),
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": record.cache_write_tokens,
        "byom.reasoning_tokens": record.reasoning_tokens,
        "gen_ai.response.time_to_first_chunk": ttft,
        "error.type": record.error_code,
        "byom.call_id": str(record.pk),
        "byom.attempt_of": str(record.attempt_of or ""),
        "byom.surface": record.surface,
        "byom.status": record.status,
        "byom.paid_by": record.paid_by,
        "byom.usage_source": record.usage_source,
        "byom.simulated": record.is_simulated,
        "byom.cost_usd": None if record.cost_usd is None else float(record.cost_usd),
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}
