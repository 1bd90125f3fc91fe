"""The request log: what came in and how it ended, for tests. Never a key, never a header value."""

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

SIZE = 10_000


@dataclass(slots=True)
class Entry:
    """One request. `outcome` is pending until it ends, then ok, error, dropped, … or gone."""

    method: str
    path: str
    dialect: str = ""
    model: str = ""
    key_sha256: str = ""
    key_last4: str = ""
    header_names: tuple[str, ...] = ()
    stream: bool = False
    fault: str = ""
    status: int | None = None
    outcome: str = "pending"
    input_tokens: int = 0
    output_tokens: int = 0
    client_disconnected: bool = False
    at: float = field(default_factory=time.time)

    def set_key(self, key: str) -> None:
        self.key_sha256 = hashlib.sha256(key.encode("latin-1", "replace")).hexdigest()
        self.key_last4 = key[-4:] if len(key) >= 12 else ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Log = deque[Entry]


def new_log() -> Log:
    return deque(maxlen=SIZE)
