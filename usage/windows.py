"""How much the models take in, as the `genai-prices` package knows it offline."""

from __future__ import annotations

from genai_prices.data_snapshot import get_snapshot

from providers import registry


def context_window(provider: str, model: str) -> int | None:
    """Tokens of the model's context window; None where nobody knows."""
    pricing_id = registry.get(provider).pricing_id
    if pricing_id is None:
        return None
    try:
        _, found = get_snapshot().find_provider_model(model, None, pricing_id, None)
    except LookupError:
        return None
    return found.context_window
