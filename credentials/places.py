"""Signs of life of a process that holds places in Redis (`credentials.limits`)."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import redis

logger = logging.getLogger(__name__)

LOST_SECONDS = 7200.0  # longer than any call lasts: who entered won't leave any more

Held = Mapping[str, Sequence[str]]
"""Who holds a place, by the key of the places."""


class Keeper:
    """Calls `renew` every `seconds` with what is held, in a thread that ends when nothing is."""

    def __init__(self, renew: Callable[[Held], None], seconds: float) -> None:
        self._renew, self._seconds = renew, seconds
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, Sequence[str]]] = {}
        self._thread: threading.Thread | None = None

    def add(self, holder: str, keys: Sequence[str]) -> None:
        with self._lock:
            self._held[holder] = monotonic(), keys
            # After a fork the thread is there by name only.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="places", daemon=True)
                self._thread.start()

    def drop(self, holder: str) -> None:
        with self._lock:
            self._held.pop(holder, None)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._seconds):
            held = self._still_held()
            if not held:
                return
            try:
                self._renew(held)
            except redis.RedisError as error:
                logger.warning("Places were not renewed in Redis: %s", type(error).__name__)

    def _still_held(self) -> Held:
        """Ends the thread if it is empty."""
        oldest = monotonic() - LOST_SECONDS
        by_key: dict[str, list[str]] = defaultdict(list)
        with self._lock:
            for holder, (since, keys) in list(self._held.items()):
                if since < oldest:
                    del self._held[holder]
                    continue
                for key in keys:
                    by_key[key].append(holder)
            if not by_key:
                self._thread = None
        return by_key
