"""What a new conversation can be had with: whose key, which model, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.utils import timezone

from agents.clients import Selection, SelectionError, select
from agents.models import Policy
from credentials.errors import CredentialError
from credentials.models import LLMCredential
from providers import registry
from providers.vocabulary import Usage
from usage.known_models import can_chat, known_models, priced
from usage.prices import Price, price_of
from usage.templatetags.usage_format import usd

TYPICAL = Usage(input_tokens=1000, output_tokens=400)
"""A turn as it usually is: some history, a question, an answer of a few paragraphs."""


@dataclass(frozen=True, slots=True)
class ModelOffer:
    """A model and its price: USD per million tokens; None where none is known, and then the cost
    of a `TYPICAL` turn is None too."""

    provider: str
    model: str
    input_price: Decimal | None
    output_price: Decimal | None
    typical_cost: Decimal | None

    @property
    def unit_prices(self) -> str:
        """For people: both prices, or that there is none."""
        if self.input_price is None or self.output_price is None:
            return usd(None) if self.typical_cost is None else ""
        if not self.input_price and not self.output_price:
            return "free of charge"
        return f"{usd(self.input_price)} in, {usd(self.output_price)} out"

    def shown(self) -> dict[str, str]:
        """What a picker on a page needs to know."""
        turn = f"about {usd(self.typical_cost)} a turn" if self.typical_cost else ""
        return {
            "provider": self.provider,
            "label": registry.label(self.provider),
            "model": self.model,
            "prices": self.unit_prices,
            "turn": turn,
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """One key with the model that it is used with where no other is named."""

    value: str
    group: str
    key: str
    simulated: bool
    usual: ModelOffer
    selection: Selection = field(repr=False)

    def choice(self) -> dict[str, Any]:
        """The arguments of `create_session` that stand for this offer."""
        kind, _, named = self.value.partition(":")
        if kind == "key":
            return {"credential_id": named}
        return {"provider": named, "policy": Policy.SYSTEM_ONLY}


def offers(user: Any) -> list[Offer]:
    """The user's own usable keys, then those of the system that may pay for the user."""
    own = LLMCredential.objects.owned_by(user).usable().order_by("-is_default", "provider", "label")
    found = [_own(user, credential) for credential in own]
    found += [_of_system(user, provider) for provider in registry.names()]
    return [offer for offer in found if offer is not None]


def automatic(user: Any) -> Offer | None:
    """What a call that names nothing would be made with now; None where none could be."""
    try:
        selection = select(user=user)
    except (SelectionError, CredentialError):
        return None
    key = str(selection.credential) if selection.credential else "Paid for by the operator"
    return _offer(selection, "", "", key)


def out_of_use(user: Any) -> list[LLMCredential]:
    """The user's keys that no call uses for now: expired, or in quarantine."""
    own = LLMCredential.objects.owned_by(user).active()
    return list(own.exclude(pk__in=own.usable().values("pk")))


def models_on_offer(found: Iterable[Offer]) -> list[ModelOffer]:
    """Every model that is known of the offers' providers, and the offers' own."""
    usual = [offer.usual for offer in found]
    now = timezone.now()
    known = [
        _model_offer(provider, model, price)
        for provider in dict.fromkeys(each.provider for each in usual)
        for model, price in priced(provider, known_models(provider), TYPICAL, now)
    ]
    by_name = {(each.provider, each.model): each for each in [*usual, *known]}
    return sorted(by_name.values(), key=lambda each: (_rank(each.provider), each.model))


def listed_on_offer(offer: Offer, names: Iterable[str]) -> list[ModelOffer]:
    """Those of the names, which the offer's provider has listed, that can be chatted with."""
    provider = offer.usual.provider
    chatting = (name for name in names if can_chat(provider, name))
    found = priced(provider, chatting, TYPICAL, timezone.now())
    return [_model_offer(provider, model, price) for model, price in found]


def _rank(provider: str) -> int:
    return registry.names().index(provider)


def grouped(found: Iterable[Offer]) -> dict[str, list[Offer]]:
    groups: dict[str, list[Offer]] = {}
    for offer in found:
        groups.setdefault(offer.group, []).append(offer)
    return groups


def _own(user: Any, credential: LLMCredential) -> Offer | None:
    try:
        selection = select(user=user, credential_id=credential.pk)
    except (SelectionError, CredentialError):
        return None
    return _offer(selection, f"key:{credential.pk}", "My keys", str(credential))


def _of_system(user: Any, provider: str) -> Offer | None:
    try:
        selection = select(user=user, provider=provider, policy=Policy.SYSTEM_ONLY)
    except (SelectionError, CredentialError):
        return None
    return _offer(selection, f"system:{provider}", "System default", "Paid for by the operator")


def _offer(selection: Selection, value: str, group: str, key: str) -> Offer:
    provider, model = selection.provider, selection.model
    price = price_of(provider=provider, models=[model], usage=TYPICAL, at=timezone.now())
    return Offer(
        value=value,
        group=group,
        key=key,
        simulated=selection.payer.is_simulated,
        usual=_model_offer(provider, model, price),
        selection=selection,
    )


def _model_offer(provider: str, model: str, price: Price) -> ModelOffer:
    return ModelOffer(
        provider=provider,
        model=model,
        input_price=_unit(price.units, "input_mtok"),
        output_price=_unit(price.units, "output_mtok"),
        typical_cost=price.cost,
    )


def _unit(units: dict[str, str], name: str) -> Decimal | None:
    return Decimal(units[name]) if name in units else None
