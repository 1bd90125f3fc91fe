"""What else the SDKs call beside chat: Responses, embeddings, counts of tokens, lists of models."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from django.contrib.auth.models import User

from agents import model_lists
from benchmarks.simulator.server import SimulatorThread
from credentials.models import LLMCredential
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import QUESTION, SDK, Anthropic, Google, OpenAI, Place, run
from gateway.tests.test_gateway import BODY, QUICK, Pin, post
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

EMBEDDER = "text-embedding-3-small"


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    model_lists._kept.clear()
    yield
    model_lists._kept.clear()


async def respond(at: Place, **options: Any) -> str:
    async with OpenAI().client(at) as client:
        answer = await client.responses.create(
            model=options.pop("model", "gpt-4o-mini"),
            input=QUESTION,
            extra_headers={**QUICK, **options.pop("headers", {})},
            **options,
        )
    return str(answer.output_text)


async def respond_in_pieces(at: Place, **headers: str) -> str:
    async with (
        OpenAI().client(at) as client,
        client.responses.stream(
            model="gpt-4o-mini", input=QUESTION, extra_headers={**QUICK, **headers}
        ) as stream,
    ):
        text = "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])
        assert (await stream.get_final_response()).output_text == text
    return text


@pytest.mark.parametrize("ask", [respond, respond_in_pieces], ids=["whole", "streamed"])
def test_responses_are_relayed_and_booked(
    simulator: SimulatorThread, place: Place, alice: User, ask: Any
) -> None:
    credential = CredentialFactory.create(owner=alice)

    assert "Paris" in run(ask(place))
    (sent,) = simulator.app.log
    row = UsageRecord.objects.get()
    assert (row.credential, row.status, row.usage_source) == (credential, "ok", "reported")
    assert (row.input_tokens, row.output_tokens) == (sent.input_tokens, sent.output_tokens)
    assert row.cost_usd and (row.ttft_ms is not None) == (ask is respond_in_pieces)


@pytest.mark.parametrize("fault", ["errorevent", "drop"])
def test_a_responses_stream_that_fails_is_the_sdks_error_and_is_booked(
    simulator: SimulatorThread, place: Place, alice: User, fault: str
) -> None:
    CredentialFactory.create(owner=alice)

    with pytest.raises((openai.APIError, RuntimeError)):
        run(respond_in_pieces(place, **{"x-sim-fault": fault}))
    assert UsageRecord.objects.get().status == "error"


def test_a_refused_response_fires_the_sdks_own_class(
    simulator: SimulatorThread, pinned: Pin
) -> None:
    with pytest.raises(openai.AuthenticationError):
        run(respond(pinned(key="sk-sim-401-1234567890")))
    with pytest.raises(openai.BadRequestError, match="background"):
        run(respond(pinned(), background=True))
    assert UsageRecord.objects.count() == 1


def test_openais_embeddings_are_relayed_and_booked(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice)

    async def embed() -> Any:
        async with OpenAI().client(place) as client:
            return await client.embeddings.create(model=EMBEDDER, input=["one two", "three"])

    answer = run(embed())
    assert [len(one.embedding) for one in answer.data] == [1536, 1536]
    row = UsageRecord.objects.get()
    assert (row.input_tokens, row.output_tokens) == (answer.usage.prompt_tokens, 0)
    assert row.cost_usd and row.usage_source == "reported" and row.model == EMBEDDER


def test_geminis_embeddings_are_relayed_and_booked(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    CredentialFactory.create(owner=alice, provider="google")

    async def embed() -> Any:
        with Google().client(place) as client:
            async with client.aio as aio:
                return await aio.models.embed_content(
                    model="gemini-embedding-001", contents=["one two", "three four"]
                )

    assert len(run(embed()).embeddings) == 2
    single = "/v1beta/models/gemini-embedding-001:embedContent"
    assert post(place, single, {"content": {"parts": [{"text": "one"}]}}).status_code == 200
    last, first = UsageRecord.objects.all()
    assert {first.status, last.status} == {"ok"}
    assert first.input_tokens > 0 and last.input_tokens > 0 and last.cost_usd is not None


async def count_claudes(at: Place) -> int:
    async with Anthropic().client(at) as client:
        counted = await client.messages.count_tokens(
            model="claude-haiku-4-5", messages=[{"role": "user", "content": QUESTION}]
        )
    return counted.input_tokens


async def count_geminis(at: Place) -> int:
    with Google().client(at) as client:
        async with client.aio as aio:
            counted = await aio.models.count_tokens(model="gemini-2.5-flash", contents=QUESTION)
    return counted.total_tokens or 0


@pytest.mark.parametrize(
    ("provider", "count"), [("anthropic", count_claudes), ("google", count_geminis)]
)
def test_counting_tokens_is_booked_and_free(
    simulator: SimulatorThread, place: Place, alice: User, provider: str, count: Any
) -> None:
    CredentialFactory.create(owner=alice, provider=provider)

    assert run(count(place)) > 5
    row = UsageRecord.objects.get()
    assert (row.status, row.input_tokens, row.cost_usd) == ("ok", 0, Decimal(0))
    assert row.price_source == "free of charge"


async def listed(sdk: SDK, at: Place) -> list[str]:
    if isinstance(sdk, Google):
        with sdk.client(at) as client:
            async with client.aio as aio:
                return [model.name or "" async for model in await aio.models.list()]
    async with sdk.client(at) as client:
        return [model.id async for model in client.models.list()]


def test_models_are_listed_to_each_sdk_and_asked_for_once(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK
) -> None:
    for provider in ("openai", "anthropic", "google"):
        CredentialFactory.create(owner=alice, provider=provider)
    prefix = "models/" if isinstance(sdk, Google) else ""

    names = run(listed(sdk, place))
    assert run(listed(sdk, place)) == names
    assert f"{prefix}{sdk.model}" in names
    assert (sdk.foreign in names) == isinstance(sdk, OpenAI)
    rows = UsageRecord.objects.all()
    assert len(rows) == (3 if isinstance(sdk, OpenAI) else 1)
    assert {(row.cost_usd, row.user, row.surface) for row in rows} == {
        (Decimal(0), alice, "gateway")
    }


def test_gemini_lists_at_its_old_address_too(simulator: SimulatorThread, place: Place) -> None:
    with httpx2.Client(trust_env=False) as http:
        answer = http.get(f"{place.url}/v1beta/models", headers={"x-goog-api-key": place.token})

    assert answer.json()["models"][0]["name"].startswith("models/gemini")


def test_a_pinned_token_lists_what_its_own_key_reaches(
    simulator: SimulatorThread, pinned: Pin, alice: User
) -> None:
    CredentialFactory.create(owner=alice, is_default=True)

    names = run(listed(OpenAI(), pinned(provider="anthropic")))
    assert names and all(name.startswith("claude-") for name in names)


def test_a_key_that_is_refused_is_left_out_of_the_list_unless_it_is_the_only_one(
    simulator: SimulatorThread, place: Place, pinned: Pin, alice: User
) -> None:
    at = pinned(key="sk-sim-401-1234567890")
    with pytest.raises(openai.AuthenticationError):
        run(listed(OpenAI(), at))
    LLMCredential.objects.update(quarantined_at=None)

    CredentialFactory.create(owner=alice, provider="anthropic")
    names = run(listed(OpenAI(), place))
    assert "claude-haiku-4-5" in names and "gpt-4o-mini" not in names
    assert UsageRecord.objects.filter(status="error").count() == 2


def test_a_provider_may_be_named_before_the_model(
    simulator: SimulatorThread, place: Place, alice: User
) -> None:
    credential = CredentialFactory.create(owner=alice)
    CredentialFactory.create(owner=alice, provider="openai_compatible", is_default=True)

    answer = post(place, body={**BODY, "model": "openai/gpt-4o-mini"})
    assert answer.headers["x-byom-credential"] == str(credential.pk)
    assert answer.json()["model"].startswith("gpt-4o-mini")
    own = post(place, body={**BODY, "model": "openai_compatible/llama3"})
    assert own.headers["x-byom-provider"] == "openai_compatible"
    assert [entry.model for entry in simulator.app.log] == ["gpt-4o-mini", "llama3"]


def test_a_pinned_server_of_ones_own_keeps_names_that_look_like_a_providers(
    simulator: SimulatorThread, pinned: Pin
) -> None:
    at = pinned(provider="openai_compatible")

    assert post(at, body={**BODY, "model": "openai/gpt-4o-mini"}).status_code == 200
    assert simulator.app.log[0].model == "openai/gpt-4o-mini"


def test_a_provider_that_the_pinned_key_is_not_for_is_refused(
    simulator: SimulatorThread, pinned: Pin
) -> None:
    answer = post(pinned(), body={**BODY, "model": "openai_compatible/llama3"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model_mismatch")
    assert not simulator.app.log
