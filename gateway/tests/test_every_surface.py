"""What holds at each address of the gateway, byte for byte and header for header."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import QUESTION, Place
from gateway.tests.test_gateway import BODY, Pin, post
from gateway.tests.test_stale_connections import ANSWER, Provider, answer
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

POSTS = [
    *("/v1/chat/completions", "/v1/responses", "/v1/embeddings"),
    *("/v1/messages", "/v1/messages/count_tokens"),
    *(
        f"/{version}/models/gemini-2.5-flash:{action}"
        for version in ("v1", "v1beta")
        for action in ("generateContent", "streamGenerateContent", "countTokens", "embedContent")
    ),
]
GETS = ["/v1/models", "/v1/models/gpt-4o-mini", "/v1beta/models"]
PARTS = {"role": "user", "parts": [{"text": QUESTION}]}


@pytest.mark.parametrize("path", [*POSTS, *GETS, "/v1/nowhere"])
def test_a_token_in_the_address_is_refused_with_a_sentence(place: Place, path: str) -> None:
    with httpx2.Client(trust_env=False) as http:
        refused = http.request(
            "GET" if path in GETS else "POST",
            f"{place.url}{path}?alt=sse&key={place.token}",
            headers={"authorization": f"Bearer {place.token}"},
            content=None if path in GETS else json.dumps(BODY),
        )

    assert refused.status_code == 400
    assert "Send the access token in a header" in refused.text
    assert place.token not in refused.text


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("gemini-2.5-flash:generateContent", {"contents": [PARTS]}),
        ("gemini-2.5-flash:streamGenerateContent", {"contents": [PARTS]}),
        ("gemini-2.5-flash:countTokens", {"contents": [PARTS]}),
        ("gemini-embedding-001:embedContent", {"content": PARTS}),
    ],
)
def test_gemini_is_served_under_both_of_its_versions(
    simulator: SimulatorThread, place: Place, alice: User, version: str, action: str, body: Any
) -> None:
    CredentialFactory.create(owner=alice, provider="google")
    answered = post(place, f"/{version}/models/{action}", body)

    assert answered.status_code == 200, answered.text
    row = UsageRecord.objects.get()
    assert (row.status, row.provider) == ("ok", "google")
    assert answered.headers["x-byom-call-id"] == str(row.pk)


async def test_fields_that_nobody_knows_reach_the_provider_byte_for_byte(
    pinned: Pin, allow: Callable[..., None]
) -> None:
    body = b'{ "messages":[{"role":"user","content":"\\u00e9"}],"model" :"m", "new": {"x": [1e3]} }'
    provider = Provider([answer])
    async with provider.running() as url:
        allow(url.removeprefix("http://"))
        options = {"provider": "openai_compatible", "key": "real-key-123", "base_url": f"{url}/v1"}
        at = await sync_to_async(pinned)(**options)

        def ask() -> httpx2.Response:
            headers = {"authorization": f"Bearer {at.token}", "content-type": "application/json"}
            with httpx2.Client(trust_env=False) as http:
                return http.post(f"{at.url}/v1/chat/completions", content=body, headers=headers)

        answered = await asyncio.to_thread(ask)

    assert provider.requests == [(0, body)]
    assert answered.content == ANSWER


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "claude-haiku-4-5"], ids=["relayed", "translated"]
)
def test_the_receipt_of_a_stream_is_where_records_are(
    simulator: SimulatorThread, place: Place, alice: User, model: str
) -> None:
    for provider in ("openai", "anthropic"):
        CredentialFactory.create(owner=alice, provider=provider)
    answered = post(place, body={**BODY, "model": model, "stream": True})
    call_id = answered.headers["x-byom-call-id"]
    with httpx2.Client(trust_env=False) as http:
        receipt = http.get(
            f"{place.url}/api/v1/usage/records/{call_id}",
            headers={"authorization": f"Bearer {place.token}"},
        )

    assert answered.status_code == 200 and "x-byom-cost-usd" not in answered.headers
    assert {"x-byom-provider", "x-byom-model", "x-byom-paid-by", "x-byom-credential"} <= set(
        answered.headers
    )
    assert receipt.status_code == 200
    assert receipt.json()["id"] == call_id and float(receipt.json()["cost_usd"]) > 0
