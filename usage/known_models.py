"""The models that can be chatted with, as far as lists of prices know them: by the one in use, and
what staff have entered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from providers import registry
from providers.vocabulary import Usage
from usage.price_lists import current
from usage.price_models import PriceOverride
from usage.prices import Price, by_list, price_of

# The list tells prices and not what a model is for: these words are of models that don't chat.
_OTHER_KINDS = re.compile(
    r"embedding|tts|audio|image|realtime|transcri|whisper|moderation|speech|\blive\b|omni"
    r"|vision|banana|robotics|streaming|search-(api|preview)|deep-research|translate|instruct|-maas|\.ft-|:",
    re.IGNORECASE,
)


def known_models(provider: str) -> list[str]:
    """Names of the provider's chat models, as calls write them, that are not withdrawn."""
    row = registry.get(provider)
    entered = PriceOverride.objects.filter(provider=provider).values_list("model", flat=True)
    listed = (
        model.id
        for each in current().snapshot.providers
        if each.id == row.pricing_id
        for model in each.models
        if not model.deprecated and can_chat(provider, model.id)
    )
    return sorted({*entered, *listed, *filter(None, [row.default_model])})


def can_chat(provider: str, model: str) -> bool:
    """As far as the name tells: a model of the provider's own, and not of another kind."""
    prefixes = registry.get(provider).model_prefixes
    return (not prefixes or model.startswith(prefixes)) and not _OTHER_KINDS.search(model)


def priced(
    provider: str, names: Iterable[str], usage: Usage, at: datetime
) -> list[tuple[str, Price]]:
    """Each of the models with what `usage` costs on it. Reads the database once for them all, and
    once more for each whose price staff have entered."""
    entered = set(PriceOverride.objects.filter(provider=provider).values_list("model", flat=True))
    prices = current()
    return [
        (
            name,
            price_of(provider=provider, models=[name], usage=usage, at=at)
            if name in entered
            else by_list(prices, provider, [name], usage, at),
        )
        for name in names
    ]
