"""Whose keys are measured: a user's own, the operator's from the environment, or simulated ones.

Never another than asked for. A provider without a key is left out, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from agents.clients import NothingSelected, Selection, SelectionError, select, with_system_key
from benchmarks.plan import Contender
from benchmarks.run import Source
from credentials.errors import CredentialError
from credentials.models import LLMCredential
from providers import registry
from providers.simulated import PATHS
from usage.accounts import Payer
from usage.models import PaidBy

SIMULATOR_KEYS = {
    "openai": "sk-sim-benchmark",
    "anthropic": "sk-ant-sim-benchmark",
    "google": "AIza-sim-benchmark",
    "openai_compatible": "sk-sim-benchmark",
}


class NoKey(Exception):
    """There is no key for this provider; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Keys:
    """`skipped` is provider → reason."""

    source: Source
    selections: Mapping[Contender, Selection]
    skipped: Mapping[str, str]

    @property
    def simulated(self) -> frozenset[Contender]:
        """Those whose answers come from the simulator."""
        return frozenset(one for one, found in self.selections.items() if found.payer.is_simulated)


Select = Callable[[Contender], Selection]
"""Takes what is wanted, where the model "" is the usual one. Raises NoKey, SelectionError or
CredentialError."""


def gather(source: Source, select_one: Select, wanted: Iterable[Contender]) -> Keys:
    """The keys for `wanted`; a contender of the answer names the model that is meant."""
    selections: dict[Contender, Selection] = {}
    skipped: dict[str, str] = {}
    for one in wanted:
        try:
            found = select_one(one)
        except (NoKey, SelectionError, CredentialError) as error:
            skipped[one.provider] = str(error)
        else:
            contender = replace(one, provider=found.provider, model=found.model)
            selections[contender] = found
    return Keys(source, selections, skipped)


def with_keys(user: Any, names: Sequence[str], wanted: Sequence[Contender]) -> list[Contender]:
    """`wanted` of the providers that the named keys (ids or labels) are for, with each of those
    keys. Raises NoKey. What is wanted itself where no key is named."""
    if not names:
        return list(wanted)
    own = list(LLMCredential.objects.owned_by(user).active())
    keys = [_called(name, own) for name in dict.fromkeys(names)]
    return [
        replace(one, credential=str(key.pk), title=key.name)
        for key in keys
        for one in [one for one in wanted if one.provider == key.provider]
        or [Contender(key.provider, "")]
    ]


def _called(name: str, own: Sequence[LLMCredential]) -> LLMCredential:
    found = [key for key in own if name in (str(key.pk), key.label)]
    if len(found) != 1:
        raise NoKey(f"{len(found) or 'none'} of the keys is called {name!r}")
    return found[0]


def of_user(user: Any) -> Select:
    """The user's own credentials only: a key of the system's is not what was asked about."""

    def select_one(wanted: Contender) -> Selection:
        if not user.is_active:
            raise NoKey(f"the account of {user.get_username()} is switched off")
        named = wanted.credential or None
        try:
            found = select(
                user=user, credential_id=named, provider=wanted.provider, model=wanted.model
            )
        except NothingSelected:
            found = None
        if found is None or found.payer.paid_by != PaidBy.USER:
            reason = "has no usable key of their own"
            if settings.FALLBACK_POLICY == "system_only":
                reason = "may not use own keys (BYOM_FALLBACK_POLICY=system_only)"
            raise NoKey(f"{user.get_username()} {reason}")
        return found

    return select_one


def of_environment(wanted: Contender) -> Selection:
    provider = wanted.provider
    key = settings.SYSTEM_KEYS.get(provider)
    if not key:
        known = provider in settings.SYSTEM_KEYS
        variable = f"{provider.upper()}_API_KEY is not set"
        raise NoKey(variable if known else "has no key in the environment; use --user")
    return with_system_key(provider, wanted.model, key)


def of_simulator(url: str) -> Select:
    """Keys for the simulator at `url`, which need not be the one that this server offers."""

    def select_one(wanted: Contender) -> Selection:
        provider = wanted.provider
        model = wanted.model or registry.get(provider).default_model
        if not model:
            raise NoKey(f"name a model: --models {provider}=…")
        payer = Payer(provider=provider, model=model, paid_by=PaidBy.SYSTEM, is_simulated=True)
        return Selection(payer, None, url + PATHS[provider], SIMULATOR_KEYS[provider])

    return select_one
