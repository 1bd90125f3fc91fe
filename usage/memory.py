"""What has just been read from the database, remembered for a second.

So a token or a key that another process has revoked is refused within a second. What this process
itself saves or deletes is forgotten at once: all of it, as changes are rare and calls are many.
No key is in here, only its sealed form, and tokens by their hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from django.db import transaction
from django.db.models.signals import post_delete, post_save

SECONDS = 1.0
_MOST = 10_000

K = TypeVar("K", bound=Hashable)
Made = TypeVar("Made")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Values by key, for SECONDS. Safe in threads: what was read before a change is not kept
    after it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[K, tuple[float, V]] = {}
        self._read_anew: set[K] = set()
        self.age = 0
        _memories.add(self)

    def get(self, key: K) -> V | None:
        """The value; None if it is to be read. In the second half of its time one caller is sent
        to read it anew and all others still get it: they would all come at once at its end."""
        until, value = self._values.get(key, (0.0, None))
        left = until - self._clock()
        if left <= 0:
            return None
        if left < SECONDS / 2 and key not in self._read_anew:
            self._read_anew.add(key)
            return None
        return value

    def keep(self, key: K, value: V, age: int) -> None:
        """`age` is what this memory's was before the value was read."""
        if age == self.age:
            if len(self._values) >= _MOST:
                self.forget()
            self._read_anew.discard(key)
            self._values[key] = self._clock() + SECONDS, value

    def forget(self) -> None:
        self.age += 1
        note_change()
        self._values, self._read_anew = {}, set()


class ByIdentity(Generic[Made, V]):
    """What is worked out of objects that are never changed, but replaced. They are held, so that no
    other can have the identity of one of them."""

    def __init__(self, work_out: Callable[[Made], V], most: int = 4096) -> None:
        self._work_out, self._most = work_out, most
        self._known: dict[int, tuple[Made, V]] = {}

    def __call__(self, of: Made) -> V:
        known = self._known.get(id(of))
        if known is not None and known[0] is of:
            return known[1]
        if len(self._known) >= self._most:
            self._known.clear()
        found = self._work_out(of)
        self._known[id(of)] = of, found
        return found


_memories: WeakSet[Memory[Any, Any]] = WeakSet()


class Changes:
    """How often anything was forgotten. As long as `count` is the same, what was worked out of
    several memories holds until they end by themselves."""

    count = 0


def note_change() -> None:
    """For what is in no memory, but others hang on as they do on those."""
    Changes.count += 1


def forget_everything() -> None:
    for memory in list(_memories):
        memory.forget()


def hashed(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


def forget_on_change(
    memories: Sequence[Memory[Any, Any]],
    models: Sequence[Any],
    *,
    but: frozenset[str] = frozenset(),
) -> None:
    """Forgets all when a row of one of the models is saved or deleted in this process. Where only
    fields in `but` are saved nothing is forgotten."""

    def forget_all() -> None:
        for memory in memories:
            memory.forget()

    def forget(sender: Any, **kwargs: Any) -> None:
        fields = kwargs.get("update_fields")
        if fields is not None and fields <= but:
            return
        forget_all()
        transaction.on_commit(forget_all)  # others read the old row until then

    for model in models:
        post_save.connect(forget, sender=model, weak=False)
        post_delete.connect(forget, sender=model, weak=False)
