"""Selection: whose key pays for a call, and with which model.

The order: the credential that the caller names → the one pinned to its session or access
token → the user's default (for the model's provider, if a model is named) → the system
default, if the fallback policy allows it. Never silent: the receipt says who paid.

    SelectionError(ValueError)
    ├── NothingSelected   no key of one's own, and the policy allows or has no other
    ├── ModelMismatch     the model belongs to another provider than the credential
    ├── ModelNeeded       neither the call nor the credential names a model
    └── SimulatorOff      a simulator key where no simulator runs

and what `credentials.errors` and `providers.registry` raise, which are ValueErrors too.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx2
from django.conf import settings
from django.core.exceptions import ValidationError

from credentials.errors import CredentialNotFound
from credentials.models import LLMCredential
from providers import registry
from providers.simulated import PATHS, is_simulator_key
from providers.vocabulary import ProviderClient
from usage.ledger import Payer
from usage.models import PaidBy

SIMULATED_SYSTEM_KEY = "sk-sim-system-default"


class SelectionError(ValueError):
    """No key could be selected for this call."""

    status = 400
    code = "selection_error"

    def __init__(self, **facts: str) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()).format(**facts))


class NothingSelected(SelectionError):
    """There is no {provider} key to make this call with. Add your own {provider} key, or name a
    credential that you have."""

    status = 409
    code = "no_credential"


class ModelMismatch(SelectionError):
    """The model {model} belongs to {provider}, but the credential is for {credential}. Name
    another model or another credential."""

    code = "model_mismatch"


class ModelNeeded(SelectionError):
    """Name a model: the credential {credential} has none of its own."""

    code = "model_needed"


class SimulatorOff(SelectionError):
    """This is a key of the provider simulator, which is not running here. Set BYOM_SIMULATOR=on,
    or use a real key."""

    status = 409
    code = "simulator_off"


@dataclass(frozen=True, slots=True)
class Selection:
    """The answer: a payer for the books, and what a provider client is made of.

    `credential` is None where the system's own key pays. `timeout` is in seconds; None is the
    usual one.
    """

    payer: Payer
    credential: LLMCredential | None
    base_url: str | None
    _system_key: str = field(default="", repr=False)
    timeout: float | None = None

    @property
    def provider(self) -> str:
        return self.payer.provider

    @property
    def model(self) -> str:
        return self.payer.model

    def client(self, http: httpx2.AsyncClient) -> ProviderClient:
        """A provider client bound to the selected key. Raises vault.Unreadable, KeyRefused."""
        key = self.credential.api_key.reveal("call") if self.credential else self._system_key
        return registry.make_client(
            self.provider,
            api_key=key,
            base_url=self.base_url,
            http=http,
            timeout=self.timeout or float(settings.CALL_TIMEOUT_SECONDS),
        )


def select(
    *,
    user: Any,
    credential_id: uuid.UUID | str | None = None,
    pinned_id: uuid.UUID | None = None,
    provider: str = "",
    model: str = "",
) -> Selection:
    """The selection for one call of `user`. Reads the database; raises SelectionError,
    CredentialError or UnknownProvider."""
    policy = settings.FALLBACK_POLICY
    wanted = registry.get(provider).name if provider else registry.provider_for_model(model) or ""
    named = credential_id or pinned_id
    if named is not None:
        return _with_credential(_own(user, named), model)
    if policy != "system_only" and (default := _default(user, wanted)):
        return _with_credential(default, model)
    if policy != "own_only" and (system := _system_default(wanted, model)):
        return system
    label = registry.label(wanted) if wanted else "provider"
    raise NothingSelected(provider=label)


def _own(user: Any, credential_id: uuid.UUID | str) -> LLMCredential:
    try:
        credential = LLMCredential.objects.owned_by(user).filter(pk=credential_id).first()
    except ValidationError:  # not a UUID at all
        credential = None
    if credential is None:
        raise CredentialNotFound
    credential.ensure_usable()
    return credential


def _default(user: Any, provider: str) -> LLMCredential | None:
    """The user's default; for a provider, the default if it is of that one, else the oldest."""
    own = LLMCredential.objects.owned_by(user).usable()
    if not provider:
        return own.filter(is_default=True).first()
    return own.filter(provider=provider).order_by("-is_default", "created_at").first()


def _with_credential(credential: LLMCredential, model: str) -> Selection:
    row = registry.get(credential.provider)
    model = model or credential.model_name or row.default_model
    if not model:
        raise ModelNeeded(credential=credential.name)
    # A compatible server may serve models of any name: only the big vendors' own are checked.
    if not row.needs_base_url and registry.provider_for_model(model) not in (None, row.name):
        belongs = registry.label(registry.provider_for_model(model) or "")
        raise ModelMismatch(model=model, provider=belongs, credential=row.label)
    return Selection(
        payer=Payer(
            provider=row.name,
            model=model,
            paid_by=PaidBy.USER if credential.owner_id else PaidBy.SYSTEM,
            is_simulated=credential.is_simulated,
            credential_id=credential.pk,
        ),
        credential=credential,
        base_url=_base_url(row.name, credential.base_url, credential.is_simulated),
    )


def _system_default(provider: str, model: str) -> Selection | None:
    """The operator's key from the environment; without any, the simulator says so and answers."""
    candidates = [provider] if provider else list(settings.SYSTEM_KEYS)
    for name in candidates:
        if key := settings.SYSTEM_KEYS.get(name):
            return with_system_key(name, model, key)
    if settings.SIMULATOR_URL and not any(settings.SYSTEM_KEYS.values()):
        return with_system_key(provider or "openai", model, SIMULATED_SYSTEM_KEY)
    return None


def with_system_key(provider: str, model: str, key: str) -> Selection:
    """A selection of the operator's own key, for who has asked the policy already or is the
    operator. Raises ModelNeeded and SimulatorOff."""
    row = registry.get(provider)
    model = model or row.default_model
    if not model:
        raise ModelNeeded(credential=row.label)
    simulated = is_simulator_key(key)
    payer = Payer(provider=provider, model=model, paid_by=PaidBy.SYSTEM, is_simulated=simulated)
    return Selection(payer, None, _base_url(provider, "", simulated), key)


def _base_url(provider: str, own: str, is_simulated: bool) -> str | None:
    """Where calls go. A simulator key never leaves for a real provider, nor a real one for it."""
    if not is_simulated:
        return own or None
    if not settings.SIMULATOR_URL:
        raise SimulatorOff
    return settings.SIMULATOR_URL + PATHS[provider]
