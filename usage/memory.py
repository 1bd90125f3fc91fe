"""What has been read from the database, remembered for as long as nobody changes it.

A process looks twice a second whether anything was changed that it remembers (`usage.changes`), and
uses nothing that it has not looked after within a second: so a token or a key that another process
has revoked is refused within a second. What it saves or deletes itself is forgotten at once: all of
it, as changes are rare and calls are many. No key is in here, only its sealed form, and tokens by
their hash.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from usage import changes

SECONDS = 1.0  # since the last look
MOST_SECONDS = 15.0  # however little has changed, should there be changes that no trigger notes
_EARLY_SECONDS = 2.0
_MOST = 10_000

K = TypeVar("K", bound=Hashable)
Made = TypeVar("Made")
V = TypeVar("V")
Age = tuple[int, int]


class Looks:
    """This process's looks for changes that others have made. Safe in threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        seen: Callable[[], object] = changes.seen,
    ) -> None:
        self.clock = clock
        self.number = 0  # of changes that were found
        self.at = -SECONDS
        self._seen = seen
        self._last: object = None
        self._is_somebody_sent = False
        self._lock = threading.Lock()

    def look(self) -> None:
        """Uses the database, unless somebody else has just looked."""
        with self._lock:
            began = self.clock()
            if began - self.at < SECONDS / 4:
                return
            seen = self._seen()
            if seen != self._last:
                self._last = seen
                self.number += 1
                note_change()
            self.at, self._is_somebody_sent = began, False

    def are_late(self) -> bool:
        """Whether what is remembered can't be used before another look. Of those who ask half a
        second after the last one, the first is told so a little early: they would all come at
        once."""
        since = self.clock() - self.at
        if since < SECONDS / 2 or (self._is_somebody_sent and since < SECONDS):
            return False
        self._is_somebody_sent = True
        return True

    def forget(self) -> None:
        self.number += 1
        self.at, self._last = -SECONDS, None


looks = Looks()


class Memory(Generic[K, V]):
    """Values by key, for as long as nothing is changed and at most for MOST_SECONDS. Safe in
    threads: what was read before a change is not kept after it.

    Who gets None goes to the database: `looks.look()`, `known`, and only then reads.
    """

    def __init__(self, looks: Looks = looks) -> None:
        self._looks = looks
        self._values: dict[K, tuple[float, int, V]] = {}
        self._read_anew: set[K] = set()
        self._age = 0
        _memories.add(self)

    @property
    def age(self) -> Age:
        """Ask for it before a value is read, and after a look."""
        return self._age, self._looks.number

    def get(self, key: K) -> V | None:
        """The value; None if it is to be looked after. Shortly before its end one caller is sent
        to read it anew, and all others still get it."""
        if self._looks.are_late():
            return None
        until, number, value = self._values.get(key, (0.0, -1, None))
        left = until - self._looks.clock()
        if left <= 0 or number != self._looks.number:
            return None
        if left < _EARLY_SECONDS and key not in self._read_anew:
            self._read_anew.add(key)
            return None
        return value

    def known(self, key: K) -> V | None:
        """The value, for who has looked just now; None if it is to be read."""
        until, number, value = self._values.get(key, (0.0, -1, None))
        lasts = until - self._looks.clock() >= _EARLY_SECONDS
        return value if lasts and number == self._looks.number else None

    def keep(self, key: K, value: V, age: Age, seconds: float | None = None) -> None:
        """`age` is what this memory's was before the value was read; `seconds` is how long it is
        good by itself, None for ever."""
        if age == self.age:
            if len(self._values) >= _MOST:
                self.forget()
            self._read_anew.discard(key)
            most = MOST_SECONDS if seconds is None else min(MOST_SECONDS, seconds)
            self._values[key] = self._looks.clock() + most, age[1], value

    def forget(self) -> None:
        self._age += 1
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
    looks.forget()
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
    """Forgets all when a row of one of the models is saved or deleted, here at once and in other
    processes within a second. Where only fields in `but` are saved nothing is forgotten."""

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
        changes.watch(model, but)
        post_save.connect(forget, sender=model, weak=False)
        post_delete.connect(forget, sender=model, weak=False)
