"""How fast the simulator answers and how much: defaults, per provider, per request."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

HEADERS = {
    "ttft_ms": ("x-sim-ttft-ms", 600_000),
    "itl_ms": ("x-sim-itl-ms", 60_000),
    "jitter_ms": ("x-sim-jitter-ms", 60_000),
    "tokens": ("x-sim-tokens", 100_000),
    "seed": ("x-sim-seed", 2**63 - 1),
    "chunk": ("x-sim-chunk", 100_000),
    "cached_tokens": ("x-sim-cached-tokens", 10**9),
    "reasoning_tokens": ("x-sim-reasoning-tokens", 10**9),
    "retry_after": ("x-sim-retry-after", 86_400),
}
"""Field of `Behaviour` → (request header, largest value we accept)."""

WHOLE = {"tokens", "seed", "chunk", "cached_tokens", "reasoning_tokens"}


class BadHeader(ValueError):
    """An x-sim-… header that is not a number in its range."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered. Milliseconds where the name says so, seconds otherwise."""

    ttft_ms: float = 20.0
    itl_ms: float = 2.0
    jitter_ms: float = 0.0
    tokens: int | None = None
    seed: int = 0
    chunk: int = 1
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    retry_after: float = 1.0


@dataclass(frozen=True, slots=True)
class SimulatorSettings(Behaviour):
    """Defaults for every request, `per_provider` ({"anthropic": {"ttft_ms": 30}}) on top."""

    per_provider: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def behaviour(self, provider: str, headers: Mapping[str, str]) -> Behaviour:
        """What holds for this request. Raises BadHeader."""
        values: dict[str, float | int | None] = {
            f.name: getattr(self, f.name) for f in fields(Behaviour)
        }
        values.update(self.per_provider.get(provider, {}))
        for name, (header, largest) in HEADERS.items():
            if header in headers:
                values[name] = _number(header, headers[header], name in WHOLE, largest)
        return replace(Behaviour(), **values)  # type: ignore[arg-type]


SLIGHTLY_DIFFERENT: Mapping[str, Mapping[str, float]] = {
    "openai": {"ttft_ms": 22.0, "itl_ms": 2.0},
    "anthropic": {"ttft_ms": 28.0, "itl_ms": 1.5},
    "google": {"ttft_ms": 18.0, "itl_ms": 2.5},
}
"""What the command line uses, so that a demonstration has something to compare."""


def _number(header: str, text: str, whole: bool, largest: float) -> float | int:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        raise BadHeader(f"{header}: '{text[:40]}' is not a number") from None
    if not math.isfinite(number) or not 0 <= number <= largest:
        raise BadHeader(f"{header}: must be between 0 and {largest}")
    return number
