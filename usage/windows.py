"""How much the models take in, by the list of prices in use."""

from __future__ import annotations

from providers import registry
from usage.price_lists import held


def context_window(provider: str, model: str) -> int | None:
    """Tokens of the model's context window; None where nobody knows."""
    pricing_id = registry.get(provider).pricing_id
    if pricing_id is None:
        return None
    try:
        _, found = held().snapshot.find_provider_model(model, None, pricing_id, None)
    except LookupError:
        return None
    return found.context_window
