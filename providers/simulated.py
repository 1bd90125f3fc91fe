"""The provider simulator's keys: known by their form, and never sent anywhere else."""

from __future__ import annotations

import re

from providers import registry

_SIMULATOR_KEY = re.compile(r"(?:sk-ant-|sk-|AIza-)?sim-")

_DIALECTS = {"openai": "/openai/v1", "anthropic": "/anthropic", "google": "/google"}

# Where each provider's dialect lives below the simulator's own URL.
PATHS = {name: _DIALECTS[registry.get(name).dialect] for name in registry.names()}


def is_simulator_key(key: str) -> bool:
    """True for `sk-sim-…`, `sk-ant-sim-…`, `AIza-sim-…` and `sim-…`: forms no provider issues."""
    return _SIMULATOR_KEY.match(key) is not None
