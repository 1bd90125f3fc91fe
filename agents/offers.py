"""What a new conversation can be had with: whose key, which model, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils import timezone

from agents.clients import Selection, SelectionError, select
from agents.models import Policy
from credentials.errors import CredentialError
from credentials.models import LLMCredential
from providers import registry
from providers.vocabulary import Usage
from usage.prices import price_of

TYPICAL = Usage(input_tokens=1000, output_tokens=400)
"""A turn as it usually is: some history, a question, an answer of a few paragraphs."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One model on one key. Prices are USD per million tokens; None where none is known, and then
    the cost of a `TYPICAL` turn is None too."""

    value: str
    group: str
    key: str
    provider: str
    model: str
    simulated: bool
    input_price: Decimal | None
    output_price: Decimal | None
    typical_cost: Decimal | None

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
    price = price_of(
        provider=selection.provider, models=[selection.model], usage=TYPICAL, at=timezone.now()
    )
    return Offer(
        value=value,
        group=group,
        key=key,
        provider=selection.provider,
        model=selection.model,
        simulated=selection.payer.is_simulated,
        input_price=_unit(price.units, "input_mtok"),
        output_price=_unit(price.units, "output_mtok"),
        typical_cost=price.cost,
    )


def _unit(units: dict[str, str], name: str) -> Decimal | None:
    try:
        return Decimal(units[name]) if name in units else None
    except ArithmeticError:  # a tiered price is no single number
        return None
