"""A person's own names for models at the gateway, and the models by their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from django.contrib.auth.models import User
from google.genai import errors

from agents import model_lists
from benchmarks.simulator.server import SimulatorThread
from credentials.models import AccessToken, ModelAlias
from credentials.tests.factories import CredentialFactory
from gateway.selection import COMPATIBLE
from gateway.tests.sdks import SDK, Anthropic, Google, OpenAI, Place, run
from gateway.tests.test_gateway import BODY, QUICK, Pin, post
from gateway.tests.test_surfaces import listed
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
PROVIDERS = ("openai", "anthropic", "google")
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5", "google": "gemini-2.5-flash"}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    model_lists._kept.clear()
    yield
    model_lists._kept.clear()


@pytest.fixture
def keys(alice: User, simulator: SimulatorThread) -> None:
    for provider in PROVIDERS:
        CredentialFactory.create(owner=alice, provider=provider)


def name(owner: User, provider: str, model: str = "", **values: Any) -> ModelAlias:
    made = {"name": "fast", "model_name": model or MODELS[provider], **values}
    row: ModelAlias = ModelAlias.objects.create(owner=owner, provider=provider, **made)
    return row


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_sdk_asks_for_an_alias_of_each_provider(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK, provider: str
) -> None:
    name(alice, provider)

    assert "Paris" in run(sdk.complete(place, "fast", **QUICK))
    row = UsageRecord.objects.get()
    assert (row.provider, row.model, row.status) == (provider, MODELS[provider], "ok")
    assert [entry.model for entry in simulator.app.log] == [MODELS[provider]]


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("own", [True, False], ids=["its own key", "the usual order"])
def test_each_sdk_asks_for_an_alias_of_a_server_of_ones_own(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK, own: bool
) -> None:
    """Its key need not be the default, nor its model's name look like nobody's."""
    server = CredentialFactory.create(owner=alice, provider=COMPATIBLE)
    name(alice, COMPATIBLE, "openai/gpt-oss:20b", credential=server if own else None)

    assert "Paris" in run(sdk.complete(place, "fast", **QUICK))
    row = UsageRecord.objects.get()
    assert (row.provider, row.credential, row.model) == (COMPATIBLE, server, "openai/gpt-oss:20b")
    assert [entry.model for entry in simulator.app.log] == ["openai/gpt-oss:20b"]


def test_a_token_pinned_to_a_server_of_ones_own_goes_by_its_aliases_only(
    simulator: SimulatorThread, pinned: Pin, alice: User
) -> None:
    at = pinned(provider=COMPATIBLE)
    other = CredentialFactory.create(owner=alice, provider=COMPATIBLE)
    name(alice, COMPATIBLE, "llama3")
    name(alice, COMPATIBLE, "llama3", name="elsewhere", credential=other)

    assert post(at, body={**BODY, "model": "fast"}).status_code == 200
    refused = post(at, body={**BODY, "model": "elsewhere"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "alias_elsewhere")
    listing = run(listed(OpenAI(), at))
    assert listing[0] == "fast" and "elsewhere" not in listing
    assert [entry.model for entry in simulator.app.log if entry.model] == ["llama3"]


@pytest.mark.usefixtures("keys")
def test_embeddings_go_by_an_alias_of_a_server_of_ones_own(place: Place, alice: User) -> None:
    name(alice, COMPATIBLE, "nomic-embed-text", name="vectors")
    CredentialFactory.create(owner=alice, provider=COMPATIBLE)

    answer = post(place, "/v1/embeddings", {"model": "vectors", "input": "one"})
    assert answer.headers["x-byom-provider"] == COMPATIBLE
    assert UsageRecord.objects.get().model == "nomic-embed-text"


@pytest.mark.usefixtures("keys")
def test_an_alias_pays_with_its_own_key(place: Place, alice: User) -> None:
    key = CredentialFactory.create(owner=alice)
    name(alice, "openai", credential=key)

    assert post(place, body={**BODY, "model": "fast"}).headers["x-byom-credential"] == str(key.pk)


@pytest.mark.usefixtures("keys")
def test_an_alias_that_is_changed_is_followed_at_once(place: Place, alice: User) -> None:
    row = name(alice, "openai")
    assert post(place, body={**BODY, "model": "fast"}).headers["x-byom-provider"] == "openai"

    row.provider, row.model_name = "anthropic", MODELS["anthropic"]
    row.save()
    assert post(place, body={**BODY, "model": "fast"}).headers["x-byom-provider"] == "anthropic"


@pytest.mark.usefixtures("keys")
def test_somebody_elses_alias_means_nothing(
    simulator: SimulatorThread, place: Place, bob: User
) -> None:
    name(bob, "anthropic", credential=CredentialFactory.create(owner=bob, provider="anthropic"))

    assert post(place, body={**BODY, "model": "fast"}).status_code == 404  # the provider's word
    assert [entry.dialect for entry in simulator.app.log] == ["openai"]
    assert UsageRecord.objects.get().model == "fast"


def test_a_pinned_token_goes_by_no_alias_for_another_key(
    simulator: SimulatorThread, pinned: Pin, alice: User
) -> None:
    at = pinned()
    name(alice, "openai", credential=CredentialFactory.create(owner=alice))
    refused = post(at, body={**BODY, "model": "fast"})

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "alias_elsewhere")
    name(alice, "anthropic", name="slow")
    assert post(at, body={**BODY, "model": "slow"}).status_code == 400
    assert not simulator.app.log
    assert "fast" not in run(listed(OpenAI(), at))


@pytest.mark.usefixtures("keys")
def test_geminis_embeddings_go_by_an_alias(place: Place, alice: User) -> None:
    name(alice, "google", "gemini-embedding-001", name="vectors")

    async def embed() -> Any:
        with Google().client(place) as client:
            async with client.aio as aio:
                return await aio.models.embed_content(model="vectors", contents=["one", "two"])

    assert len(run(embed()).embeddings) == 2
    assert UsageRecord.objects.get().model == "gemini-embedding-001"


@pytest.mark.usefixtures("keys")
def test_what_is_not_translated_says_where_an_alias_may_be_called(
    place: Place, alice: User
) -> None:
    name(alice, "anthropic")
    refused = post(place, "/v1/embeddings", {"model": "fast", "input": "one"})

    assert refused.json()["error"]["code"] == "wrong_address"
    assert "POST /v1/messages" in refused.json()["error"]["message"]


@pytest.mark.usefixtures("keys")
def test_aliases_are_listed_first(place: Place, alice: User, bob: User, sdk: SDK) -> None:
    name(alice, sdk.provider)
    name(bob, sdk.provider, name="bobs")
    prefix = "models/" if isinstance(sdk, Google) else ""

    names = run(listed(sdk, place))
    assert names[0] == f"{prefix}fast" and f"{prefix}bobs" not in names
    assert f"{prefix}{MODELS[sdk.provider]}" in names


async def seen(sdk: SDK, at: Place, model: str) -> str:
    """The name that the SDK shows of a model asked for by its name."""
    if isinstance(sdk, Google):
        with sdk.client(at) as client:
            async with client.aio as aio:
                return (await aio.models.get(model=model)).name or ""
    async with sdk.client(at) as client:
        return (await client.models.retrieve(model)).id


@pytest.mark.usefixtures("keys")
def test_each_sdk_sees_a_model_by_its_name(place: Place, alice: User, sdk: SDK) -> None:
    name(alice, sdk.provider)
    prefix = "models/" if isinstance(sdk, Google) else ""

    for model in (MODELS[sdk.provider], "fast"):
        assert run(seen(sdk, place, model)) == prefix + model


@pytest.mark.usefixtures("keys")
def test_a_model_may_be_seen_with_its_provider(place: Place) -> None:
    assert run(seen(OpenAI(), place, "anthropic/claude-haiku-4-5")) == "claude-haiku-4-5"


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("sdk", "error"),
    [
        (OpenAI(), openai.NotFoundError),
        (Anthropic(), anthropic.NotFoundError),
        (Google(), errors.ClientError),
    ],
)
def test_a_model_that_no_key_reaches_is_the_sdks_not_found(
    place: Place, sdk: SDK, error: type[Exception]
) -> None:
    with pytest.raises(error, match="no model nothing-like-it") as caught:
        run(seen(sdk, place, "nothing-like-it"))
    assert getattr(caught.value, "status_code", getattr(caught.value, "code", 0)) == 404


def test_a_model_is_shown_to_nobody_without_a_token(server: str, db: None) -> None:
    with httpx2.Client(trust_env=False) as http:
        assert http.get(f"{server}/v1/models/gpt-4o-mini").status_code == 401
    assert AccessToken.objects.count() == 0
