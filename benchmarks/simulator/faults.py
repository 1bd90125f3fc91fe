"""Faults on request: by a marker in the key (`sk-sim-429-…`) or by `x-sim-fault: 429`."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping

from benchmarks.simulator.problem import Kind, Problem

REFUSALS: Mapping[str, Kind] = {
    "401": "bad_key",
    "403": "forbidden",
    "429": "rate_limit",
    "quota": "quota",
    "500": "server",
    "503": "overloaded",
    "529": "overloaded",
}
"""Faults that answer with an error at once, at every endpoint that wants a key."""

AT_GENERATION: Mapping[str, Kind] = {"context": "context"}
OTHERS = ("slow", "drop", "errorevent", "garbage", "hang", "refuse", "cut")
SLOW_MS = 5000.0

_NAMES = "|".join([*REFUSALS, *AT_GENERATION, *OTHERS, r"flaky-\d{1,4}"])
_IN_KEY = re.compile(rf"sim-({_NAMES})(?![a-z0-9])", re.IGNORECASE)
_FAULT = re.compile(rf"(?:sim-)?({_NAMES})$", re.IGNORECASE)


def is_good(key: str) -> bool:
    """Keys of the simulator have `sim-` in them; every other key is refused."""
    return "sim-" in key.lower()


def fault_of(headers: Mapping[str, str], key: str) -> str:
    """The fault that the header or the key asks for, or an empty string."""
    asked = headers.get("x-sim-fault", "").strip()
    if asked:
        match = _FAULT.match(asked)
        if not match:
            raise Problem("bad_request", f"x-sim-fault: unknown fault '{asked[:40]}'")
        return match[1].lower()
    match = _IN_KEY.search(key)
    return match[1].lower() if match else ""


class Flaky:
    """Counts how often each key has failed under `flaky-N`; the oldest keys are forgotten."""

    def __init__(self, size: int = 10_000) -> None:
        self.size = size
        self.failures: OrderedDict[str, int] = OrderedDict()

    def fails(self, key: str, fault: str) -> bool:
        """True for the first N calls of this very key."""
        name = hashlib.sha256(f"{key} {fault}".encode()).hexdigest()
        so_far = self.failures.get(name, 0)
        if so_far >= int(fault.removeprefix("flaky-")):
            return False
        self.failures[name] = so_far + 1
        if len(self.failures) > self.size:
            self.failures.popitem(last=False)
        return True

    def clear(self) -> None:
        self.failures.clear()
