"""Selection: whose key pays for a call, and with which model.

The order: the credential that the caller names → the one pinned to its session or access
token → the user's default (for the model's provider, if a model is named) → the system
default, each if the policies allow it (`agents.policy`). Never silent: the receipt says who paid.
A person's alias stands for a provider, a model and maybe a credential, as if they had been named.

    SelectionError(ValueError)
    ├── NothingSelected   no key of one's own, and the policy allows or has no other
    ├── OwnKeyForbidden   a credential is named, but only the system's key may pay
    ├── NobodyPays        the policies of server, user and session exclude each other
    ├── ModelMismatch     the model belongs to another provider than the credential
    ├── AliasElsewhere    the alias is for another credential than the one named or pinned
    └── ModelNeeded       neither the call nor the credential names a model

and what `credentials.errors` and `providers.registry` raise, which are ValueErrors too.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from django.conf import settings
from django.core.exceptions import ValidationError

from agents.policy import payers
from credentials.destination import destination
from credentials.errors import CredentialError, CredentialNotFound
from credentials.fields import Secret
from credentials.lookup import default_credential, own_credential
from credentials.models import CredentialQuerySet, LLMCredential, ModelAlias
from credentials.trail import Action, Outcome, record
from providers import registry
from providers.keys import check_base_url, check_key
from providers.simulated import is_simulator_key
from providers.vocabulary import ProviderClient
from usage.accounts import Payer
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


class OwnKeyForbidden(SelectionError):
    """Only the system's key may pay for this call, so no credential of your own can. Leave the
    credential out, or change the policy of the session or your own, if it is theirs."""

    status = 403
    code = "own_key_forbidden"


class NobodyPays(SelectionError):
    """The policies of this server, of your account and of the session leave no key that may pay
    for this call. Change the session's policy or your own, or ask the operator."""

    status = 409
    code = "nobody_pays"


class ModelMismatch(SelectionError):
    """The model {model} belongs to {provider}, but the credential is for {credential}. Name
    another model or another credential."""

    code = "model_mismatch"


class AliasElsewhere(SelectionError):
    """The alias {alias} stands for a model of another provider, or for another key, than the
    credential {credential}. Name the model itself, or another credential."""

    code = "alias_elsewhere"


class ModelNeeded(SelectionError):
    """Name a model: the credential {credential} has none of its own."""

    code = "model_needed"


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

    @property
    def is_trusted(self) -> bool:
        """Nobody but the operator has named where calls go: they need no network guard."""
        return self.base_url is None or self.payer.is_simulated

    def secret(self) -> Secret:
        """The selected key, sealed unless it is the system's; only for who speaks to the provider
        without a provider client. Raises vault.Unreadable."""
        return (
            self.credential.api_key.bound()
            if self.credential
            else Secret(plaintext=self._system_key)
        )

    def key(self, purpose: str) -> str:
        """The key itself. Raises vault.Unreadable, KeyRefused."""
        return check_key(self.provider, self.secret().reveal(purpose))

    def address(self) -> str:
        """The base URL that calls go to, also where it is the provider's own. Raises
        BaseURLRefused."""
        return check_base_url(self.provider, self.base_url)

    def client(self, http: httpx2.AsyncClient) -> ProviderClient:
        """A provider client bound to the selected key. Raises vault.Unreadable, KeyRefused."""
        return registry.make_client(
            self.provider,
            api_key=self.key("call"),
            base_url=self.base_url,
            http=http,
            timeout=self.timeout or float(settings.CALL_TIMEOUT_SECONDS),
            trusted=self.is_trusted,
        )


def select(
    *,
    user: Any,
    credential_id: uuid.UUID | str | None = None,
    pinned_id: uuid.UUID | None = None,
    provider: str = "",
    model: str = "",
    policy: str = "",
) -> Selection:
    """The selection for one call of `user`; `policy` is the session's own, if it has one. Reads
    the database; raises SelectionError, CredentialError or UnknownProvider."""
    alias = ModelAlias.objects.meant_by(user, model)
    if alias and provider in ("", alias.provider):
        provider, model = alias.provider, alias.model_name
    else:
        alias = None
    wanted = registry.get(provider).name if provider else registry.provider_for_model(model) or ""
    allowed = payers(user, policy)
    if not allowed:
        raise NobodyPays
    named = credential_id or pinned_id or (alias.credential_id if alias else None)
    if named is not None:
        credential = _own(user, named)
        if alias and not alias.fits(credential):
            raise AliasElsewhere(alias=alias.name, credential=credential.name)
        if PaidBy.USER not in allowed:
            raise OwnKeyForbidden
        return _with_credential(credential, model)
    if PaidBy.USER in allowed and (default := default_credential(user, wanted)):
        return _with_credential(default, model)
    if PaidBy.SYSTEM in allowed and (system := _system_default(wanted, model)):
        return system
    label = registry.label(wanted) if wanted else "provider"
    raise NothingSelected(provider=label)


def _own(user: Any, credential_id: uuid.UUID | str) -> LLMCredential:
    try:
        credential = own_credential(user, credential_id)
    except ValidationError:  # not a UUID at all
        credential = None
    if credential is None:
        _note_foreign(credential_id)
        raise CredentialNotFound
    try:
        credential.ensure_usable()
    except CredentialError as error:
        record(Action.USE_REFUSED, credential, outcome=Outcome.REFUSED, detail=error.code)
        raise
    return credential


def _note_foreign(credential_id: uuid.UUID | str) -> None:
    """Somebody named a key that is not theirs: its owner's trail should show that."""
    with suppress(ValidationError):
        if foreign := LLMCredential.objects.filter(pk=credential_id).first():
            record(Action.USE_REFUSED, foreign, outcome=Outcome.REFUSED, detail="not the owner")


def _first(credentials: CredentialQuerySet, provider: str) -> LLMCredential | None:
    found = credentials.filter(provider=provider) if provider else credentials
    return found.order_by("-is_default", "created_at").first()


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
        base_url=destination(row.name, credential.base_url, credential.is_simulated),
    )


def _system_default(provider: str, model: str) -> Selection | None:
    """The operator's key: one that staff keep in the vault, else from the environment; where
    there is none at all, the simulator answers, and says so."""
    vault = LLMCredential.objects.of_system().usable()
    if own := _first(vault, provider):
        return _with_credential(own, model)
    candidates = [provider] if provider else list(settings.SYSTEM_KEYS)
    for name in candidates:
        if key := settings.SYSTEM_KEYS.get(name):
            return with_system_key(name, model, key)
    if settings.SIMULATOR_URL and not any(settings.SYSTEM_KEYS.values()) and not vault.exists():
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
    return Selection(payer, None, destination(provider, "", simulated), key)
