from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import httpx2
import pytest
from genai_prices import Usage, calc_price

from providers import registry
from providers.errors import RateLimited
from providers.registry import UnknownProvider
from providers.tests.wire import Wire, ask


def test_an_unknown_provider_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownProvider, match="openai, anthropic, google, openai_compatible"):
        registry.get("acme")


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        registry.get("openai").label = "other"  # type: ignore[misc]


def test_a_label_outlives_its_provider() -> None:
    assert registry.label("openai") == "OpenAI"
    assert registry.label("acme") == "acme"


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o3-mini", "openai"),
        ("ft:gpt-4o-mini:acme", "openai"),
        ("claude-haiku-4-5", "anthropic"),
        ("gemini-2.5-flash", "google"),
        ("models/gemini-2.5-flash", "google"),
        ("gemma-3-27b-it", "google"),
        ("llama-3.1-8b", None),
        ("", None),
    ],
)
def test_a_models_name_tells_its_provider(model: str, provider: str | None) -> None:
    assert registry.provider_for_model(model) == provider


@pytest.mark.parametrize(
    ("key", "provider"),
    [
        ("sk-proj-abc", "openai"),
        ("sk-svcacct-abc", "openai"),
        ("sk-abc", "openai"),
        ("sk-ant-api03-abc", "anthropic"),
        ("AIzaSyabc", "google"),
        ("AQ.Ababc", "google"),
        ("sk-or-v1-abc", "openai_compatible"),
        ("gsk_abc", "openai_compatible"),
        ("something", None),
    ],
)
def test_a_keys_beginning_hints_at_its_provider(key: str, provider: str | None) -> None:
    assert registry.looks_like(key) == provider


@pytest.mark.parametrize("provider", [n for n in registry.names() if registry.get(n).pricing_id])
def test_default_models_have_a_price(provider: str) -> None:
    row = registry.get(provider)
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    price = calc_price(usage, row.default_model, provider_id=row.pricing_id)
    assert 0 < price.total_price < 10


def test_a_client_is_made_for_every_row() -> None:
    wire = Wire(httpx2.Response(200))
    assert [wire.client(name).provider.name for name in registry.names()] == [*registry.names()]


async def test_a_vendor_of_openais_dialect_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    row = registry.Provider(
        name="acme",
        label="Acme",
        adapter="providers.openai:OpenAIClient",
        base_url="https://api.acme.test/v1",
        default_model="acme-1",
        key_help_url="https://acme.test/keys",
        key_prefixes=("acme_",),
        model_prefixes=("acme-",),
    )
    monkeypatch.setitem(registry._BY_NAME, row.name, row)
    assert registry.looks_like("acme_0123") == registry.provider_for_model("acme-1") == "acme"
    wire = Wire(httpx2.Response(429, json={"error": "slow down"}))
    with pytest.raises(RateLimited, match="Acme is receiving too many requests"):
        await wire.client("acme", base_url=None).complete(ask())
    assert str(wire.requests[0].url) == "https://api.acme.test/v1/chat/completions"


def imported_with(*modules: str) -> set[str]:
    """The names of all modules that a fresh interpreter has after importing these."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_sdks_are_imported_only_when_a_client_is_made() -> None:
    """Together they take seconds, which no management command should pay."""
    light = imported_with("providers.registry", "providers.keys", "providers.redaction")
    assert not light & {"openai", "anthropic", "google.genai", "httpx2"}


def test_the_package_is_a_leaf() -> None:
    adapters = {row.adapter.partition(":")[0] for row in map(registry.get, registry.names())}
    top = {module.partition(".")[0] for module in imported_with("providers.http", *adapters)}
    assert not top & {"django", "byom", "credentials", "agents", "gateway", "usage", "benchmarks"}
