"""Spans of real calls, on every surface, by the SDK's own exporter in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from django.test import Client
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from rest_framework.test import APIClient

from agents.tests.test_turns import say, start
from byom.tests.live_server import serve
from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from providers.vocabulary import Usage
from usage import tracing
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall
from usage.models import Status, Surface, UsageRecord, UsageSource
from usage.signals import calls_settled

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
SECRET = "The password of the safe is 4711. What is the capital of France?"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = tracing.trace_to(SimpleSpanProcessor(exporter))
    yield exporter
    calls_settled.disconnect(dispatch_uid=tracing.__name__)
    provider.shutdown()


def only(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, Any]]:
    (span,) = spans.get_finished_spans()
    return span, dict(span.attributes or {})


def test_a_turn_is_a_span_with_the_conventions_attributes(
    spans: InMemorySpanExporter, api: APIClient, alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice)
    session = start(api, model="gpt-4o-mini")
    assert say(api, session, SECRET).status_code == 201

    span, facts = only(spans)
    row = UsageRecord.objects.get()
    assert (span.name, span.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert span.status.status_code == StatusCode.UNSET
    assert span.start_time and span.end_time
    assert (span.end_time - span.start_time) / 1e6 == pytest.approx(row.latency_ms, abs=0.01)
    assert facts.pop("gen_ai.response.time_to_first_chunk") == pytest.approx(
        (row.ttft_ms or 0) / 1000
    )
    assert facts == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": row.model_served,
        "gen_ai.conversation.id": session,
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "byom.call_id": str(row.pk),
        "byom.surface": "api",
        "byom.status": "ok",
        "byom.paid_by": "user",
        "byom.usage_source": "reported",
        "byom.simulated": True,
        "byom.reasoning_tokens": 0,
        "byom.cost_usd": float(row.cost_usd or Decimal(0)),
    }
    assert span.resource.attributes["service.name"] == "byom"


@pytest.mark.parametrize(
    ("path", "body", "name", "provider"),
    [
        ("/v1/chat/completions", {"model": "gpt-4o-mini"}, "chat gpt-4o-mini", "openai"),
        ("/v1/messages", {"model": "claude-haiku-4-5", "max_tokens": 9},
         "chat claude-haiku-4-5", "anthropic"),
        ("/v1/messages/count_tokens", {"model": "claude-haiku-4-5"},
         "count_tokens claude-haiku-4-5", "anthropic"),
        # another dialect's model: translated
        ("/v1/chat/completions", {"model": "gemini-2.5-flash"},
         "chat gemini-2.5-flash", "gcp.gemini"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": SECRET},
         "embeddings text-embedding-3-small", "openai"),
    ],
)  # fmt: skip
def test_the_gateways_calls_are_spans_and_hold_no_word_and_no_key(
    spans: InMemorySpanExporter,
    server: str,
    alice: User,
    simulator: Any,
    path: str,
    body: dict[str, Any],
    name: str,
    provider: str,
) -> None:
    keys = [
        CredentialFactory.create(owner=alice, provider=each).api_key.reveal("validate")
        for each in ("openai", "anthropic", "google")
    ]
    _, token = AccessToken.issue(user=alice, name="program")
    headers = {"authorization": f"Bearer {token}", "anthropic-version": "2023-06-01"}
    if "input" not in body:
        body = {**body, "messages": [{"role": "user", "content": SECRET}]}
    answer = httpx2.post(server + path, json=body, headers=headers)

    assert answer.status_code == 200, answer.text
    span, facts = only(spans)
    assert (span.name, facts["gen_ai.provider.name"]) == (name, provider)
    assert facts["byom.surface"] == "gateway"
    told = span.to_json()
    for secret in (*keys, token, "4711", "Paris", "program", alice.username):
        assert secret not in told


def test_a_key_test_is_a_span(spans: InMemorySpanExporter, alice: User, simulator: Any) -> None:
    key = CredentialFactory.create(owner=alice)
    client = Client()
    client.force_login(alice)
    assert client.post(f"/keys/{key.pk}/test/").status_code < 400

    span, facts = only(spans)
    assert (span.name, facts["byom.surface"]) == ("list_models", "validation")
    assert "gen_ai.request.model" not in facts


def test_every_try_is_a_span_and_failures_have_their_class(
    spans: InMemorySpanExporter, alice: User
) -> None:
    payer = Payer(provider="openai", model="gpt-4o-mini", paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.BENCHMARK, user_id=alice.pk), payer))
    end: Any = {"usage": Usage(), "usage_source": UsageSource.ESTIMATED}
    call.earlier_try().settle(status=Status.ERROR, error_code="overloaded", **end)
    call.settle(status=Status.CANCELLED, **end)

    first, second = spans.get_finished_spans()
    facts = dict(first.attributes or {})
    assert (facts["error.type"], facts["byom.attempt_of"]) == ("overloaded", str(call.id))
    assert first.status.status_code == StatusCode.ERROR
    assert second.status.status_code == StatusCode.UNSET
    assert dict(second.attributes or {})["byom.status"] == "cancelled"


WITHOUT_PACKAGES = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.exporter"] = None
import django
django.setup()
"""
SEND = """
import django
django.setup()
from usage.models import UsageRecord
from usage.signals import Settled, calls_settled
row = UsageRecord(provider="openai", model="gpt-4o-mini", surface="api", status="ok",
                  latency_ms=5.0, paid_by="user", usage_source="reported")
calls_settled.send(UsageRecord, calls=[Settled(row, "chat", 0.0, 0.0)])
"""


def process(code: str, tmp_path: Any, **environ: str) -> subprocess.CompletedProcess[str]:
    mine = {"DJANGO_SETTINGS_MODULE": "byom.settings", "BYOM_VAR_DIR": str(tmp_path), **environ}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **mine},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_packages_are_needed_only_with_the_setting(tmp_path: Any) -> None:
    assert process(WITHOUT_PACKAGES, tmp_path).returncode == 0

    ended = process(WITHOUT_PACKAGES, tmp_path, BYOM_OTEL="on")
    assert ended.returncode and "needs the packages of requirements-otel.txt" in ended.stderr


def test_with_the_setting_spans_leave_by_otlp(tmp_path: Any) -> None:
    bodies = []

    async def collector(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            return
        bodies.append((scope["path"], (await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with serve(collector) as url:
        ended = process(
            SEND,
            tmp_path,
            BYOM_OTEL="on",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
            OTEL_SERVICE_NAME="byom-here",
        )

    assert ended.returncode == 0, ended.stderr
    ((path, body),) = bodies
    assert path == "/v1/traces"
    assert b"chat gpt-4o-mini" in body and b"gen_ai.operation.name" in body and b"byom-here" in body
