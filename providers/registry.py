"""The providers, one frozen row each.

Adding a vendor that speaks OpenAI's dialect is one row in `_ROWS`; see
docs/howto/add-a-provider.md. Adapters are named, not imported: their SDKs take up to a
second to import, so a process pays only for those it uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from providers.capabilities import Capability

if TYPE_CHECKING:
    import httpx2

    from providers.adapter import Adapter

EVERYTHING = frozenset(Capability)


@dataclass(frozen=True, slots=True)
class Wire:
    """Where servers of OpenAI's dialect differ from each other.

    `max_tokens` is the name of the field for `ChatRequest.max_tokens`: OpenAI's reasoning
    models refuse the old name, other servers don't know the new one. `stream_options` says
    whether the server accepts `stream_options.include_usage`; without it, streams report no
    usage.
    """

    max_tokens: str = "max_completion_tokens"
    stream_options: bool = True


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider.

    `adapter` is "module:Class". `base_url` is None where the person must give one.
    `key_prefixes` are hints for people, never a check: formats drift. `admin_key_prefixes`
    are refused, as such keys can do far more than we need. `pricing_id` is the provider's
    name in genai-prices, None where nobody can know the price.
    """

    name: str
    label: str
    adapter: str
    base_url: str | None
    default_model: str
    key_help_url: str
    key_prefixes: tuple[str, ...] = ()
    admin_key_prefixes: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    pricing_id: str | None = None
    capabilities: Set[Capability] = EVERYTHING
    wire: Wire = Wire()

    @property
    def dialect(self) -> str:
        """What is spoken on the wire: openai, anthropic or google, like the adapter's module."""
        return self.adapter.partition(":")[0].rpartition(".")[2]

    @property
    def needs_base_url(self) -> bool:
        return self.base_url is None


_ROWS = (
    Provider(
        name="openai",
        label="OpenAI",
        adapter="providers.openai:OpenAIClient",
        base_url="https://api.openai.com/v1",
        default_model="gpt-4o-mini",
        key_help_url="https://platform.openai.com/api-keys",
        key_prefixes=("sk-", "sk-proj-", "sk-svcacct-"),
        admin_key_prefixes=("sk-admin-",),
        model_prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4-", "ft:gpt-"),
        pricing_id="openai",
    ),
    Provider(
        name="anthropic",
        label="Anthropic",
        adapter="providers.anthropic:AnthropicClient",
        base_url="https://api.anthropic.com",
        default_model="claude-haiku-4-5",
        key_help_url="https://console.anthropic.com/settings/keys",
        key_prefixes=("sk-ant-",),
        admin_key_prefixes=("sk-ant-admin",),
        model_prefixes=("claude-",),
        pricing_id="anthropic",
        capabilities=EVERYTHING - {Capability.SEED},
    ),
    Provider(
        name="google",
        label="Google Gemini",
        adapter="providers.google:GoogleClient",
        base_url="https://generativelanguage.googleapis.com",
        default_model="gemini-2.5-flash",
        key_help_url="https://aistudio.google.com/apikey",
        key_prefixes=("AIza", "AQ."),
        model_prefixes=("gemini-", "gemma"),
        pricing_id="google",
    ),
    Provider(
        name="openai_compatible",
        label="OpenAI-compatible server",
        adapter="providers.openai:OpenAIClient",
        base_url=None,
        default_model="",
        key_help_url="",
        key_prefixes=("sk-or-v1-", "gsk_", "xai-", "tgp_v1_"),
        capabilities=EVERYTHING - {Capability.REASONING_EFFORT},
        wire=Wire(max_tokens="max_tokens"),
    ),
)

_BY_NAME = {row.name: row for row in _ROWS}


class UnknownProvider(ValueError):
    """No provider of this name; the message lists those there are.

    It does not repeat the name: a key may have been pasted into the wrong field.
    """

    status = 400
    code = "unknown_provider"

    def __init__(self) -> None:
        super().__init__(f"Unknown provider. Supported: {', '.join(_BY_NAME)}.")


def get(name: str) -> Provider:
    """The row of that name. Raises `UnknownProvider`."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise UnknownProvider from None


def names() -> tuple[str, ...]:
    """All providers' names, in the order in which people should see them."""
    return tuple(_BY_NAME)


def label(name: str) -> str:
    """What people call it; the name itself for one that has been removed from the registry."""
    return _BY_NAME[name].label if name in _BY_NAME else name


def provider_for_model(model: str) -> str | None:
    """The provider that makes `model`, judged by the name; None where the name tells nothing."""
    bare = model.removeprefix("models/")
    return next(
        (row.name for row in _BY_NAME.values() if bare.startswith(row.model_prefixes)), None
    )


def looks_like(key: str) -> str | None:
    """The provider whose keys begin like this one: a hint for people, not a verdict."""
    fits = [
        (p, row.name) for row in _BY_NAME.values() for p in row.key_prefixes if key.startswith(p)
    ]
    return max(fits, key=lambda fit: len(fit[0]))[1] if fits else None


def make_client(
    name: str,
    *,
    api_key: str,
    base_url: str | None = None,
    http: httpx2.AsyncClient,
    timeout: float = 60.0,
    trusted: bool = False,
) -> Adapter:
    """A provider client for one key; takes microseconds, needs no closing, holds no connection.

    `http` is what `providers.http.http_client()` yields on the running event loop. `timeout`
    is in seconds: for the whole of a plain answer, and for the longest silence in a stream.
    `trusted` is for a `base_url` that the operator has set: any other host than the provider's
    own passes `providers.guard`. Raises `UnknownProvider`, `KeyRefused` and `BaseURLRefused`,
    all before anything is sent.
    """
    row = get(name)
    return _adapter(row.adapter)(
        row, api_key=api_key, base_url=base_url, http=http, timeout=timeout, trusted=trusted
    )


async def prepare(name: str) -> None:
    """Call it before `make_client` on an event loop: the first client of a provider imports its
    SDK, which takes seconds that nobody else should wait. Raises `UnknownProvider`."""
    path = get(name).adapter
    if path not in _loaded:
        await asyncio.to_thread(_adapter, path)


def load_adapters() -> None:
    """Imports every adapter with its SDK, so that no call has to wait for that."""
    for row in _ROWS:
        _adapter(row.adapter)


_loaded: set[str] = set()


@cache
def _adapter(path: str) -> type[Adapter]:
    module, _, name = path.partition(":")
    adapter: type[Adapter] = getattr(import_module(module), name)
    _loaded.add(path)
    return adapter
