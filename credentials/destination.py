"""Where calls with a key go. Simulator keys and real keys never meet."""

from __future__ import annotations

from django.conf import settings

from credentials.errors import BaseURLsClosed, SimulatorOff
from providers import registry
from providers.simulated import PATHS


def destination(provider: str, own_base_url: str, is_simulated: bool) -> str | None:
    """The base URL to call; None for the provider's own.

    A simulator key never leaves for a real provider, nor a real one for the simulator. So it is
    the operator who names where a simulator key goes, and a person (whom `providers.guard` does
    not trust) who names `own_base_url`. Raises BaseURLsClosed, SimulatorOff and UnknownProvider.
    """
    if not is_simulated:
        if own_base_url and not settings.CUSTOM_BASE_URLS:
            raise BaseURLsClosed
        return own_base_url or None
    if not settings.SIMULATOR_URL:
        raise SimulatorOff
    return str(settings.SIMULATOR_URL) + PATHS[registry.get(provider).name]
