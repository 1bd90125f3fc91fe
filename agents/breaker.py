"""The breaker: a key that keeps failing at its provider is left alone for a moment.

closed ── FAILURES retryable failures in a row, none older than WINDOW ──▶ open
open ── COOL_DOWN over: one call goes to try (half open) ──▶ closed if it works, else open again

Per credential and provider, in this process's memory: each process learns for itself, which
costs a few failing calls and no shared state.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from agents.clients import Selection
from providers import registry
from providers.errors import ProviderError

FAILURES = 5
COOL_DOWN = 30.0  # seconds
WINDOW = 60.0  # seconds
PRUNE_ABOVE = 10_000  # keys in trouble; the oldest troubles are forgotten

Key = tuple[str, str]  # credential (or "system") and provider


class Suspended(ProviderError):
    """Calls to {provider} on this key have failed several times in a row, so none is made for
    {seconds} seconds. Wait, or use another key or provider."""

    status = 503
    code = "suspended"
    retryable = True


@dataclass(slots=True)
class _Trouble:
    failures: int
    last: float
    until: float = 0.0


class Breaker:
    """Safe to be used from several threads and event loops."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._troubles: dict[Key, _Trouble] = {}

    def check(self, selection: Selection) -> None:
        """Raises Suspended where no call should go out now.

        After the cool-down one caller is let through and the others wait for another one: what
        became of it need not be told, so that no key stays suspended by a call that got lost.
        """
        with self._lock:
            trouble = self._troubles.get(_key(selection))
            if trouble is None or trouble.failures < FAILURES:
                return
            now = self._clock()
            wait = trouble.until - now
            if wait <= 0:
                trouble.until = now + COOL_DOWN
                return
        raise Suspended(registry.label(selection.provider), retry_after=wait)

    def failed(self, selection: Selection, error: ProviderError) -> None:
        """What may pass counts; any other word of the provider's says that it is there."""
        if not error.retryable:
            if error.upstream_status is not None:
                self.worked(selection)
            return
        with self._lock:
            now, key = self._clock(), _key(selection)
            trouble = self._troubles.pop(key, None)
            if trouble is None or now - trouble.last > max(WINDOW, trouble.until - trouble.last):
                trouble = _Trouble(0, now)
            trouble.failures, trouble.last = trouble.failures + 1, now
            if trouble.failures >= FAILURES:
                trouble.until = now + max(COOL_DOWN, error.retry_after or 0.0)
            self._troubles[key] = trouble  # at the end: the order is that of the last failures
            if len(self._troubles) > PRUNE_ABOVE:
                del self._troubles[next(iter(self._troubles))]

    def worked(self, selection: Selection) -> None:
        with self._lock:
            self._troubles.pop(_key(selection), None)

    def suspended(self) -> Counter[str]:
        """How many keys are suspended now, by provider."""
        with self._lock:
            now = self._clock()
            return Counter(
                provider
                for (_, provider), trouble in self._troubles.items()
                if trouble.failures >= FAILURES and trouble.until > now
            )

    def clear(self) -> None:
        with self._lock:
            self._troubles.clear()


def _key(selection: Selection) -> Key:
    credential_id = selection.payer.credential_id
    return str(credential_id or "system"), selection.provider


breaker = Breaker()
