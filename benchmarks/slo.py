"""Goodput: the share of calls that were as quick as they had to be. A failed call never is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.sample import Sample


class BadSlo(ValueError):
    """write ttft=MILLISECONDS, e2e=MILLISECONDS or both, with a comma between them"""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The longest times, in milliseconds, to the first token and to the complete answer."""

    ttft: float | None = None
    e2e: float | None = None

    def __str__(self) -> str:
        limits = (("ttft", self.ttft), ("e2e", self.e2e))
        return ",".join(f"{name}={limit:g}" for name, limit in limits if limit is not None)

    @classmethod
    def within(cls, ttft: float | None, e2e: float | None) -> Slo | None:
        """None without any limit."""
        return None if ttft is None and e2e is None else cls(ttft=ttft, e2e=e2e)

    def is_met(self, sample: Sample) -> bool:
        if not sample.ok:
            return False
        first = sample.ttft_ms is not None and sample.ttft_ms <= (self.ttft or 0)
        return (self.ttft is None or first) and (self.e2e is None or sample.latency_ms <= self.e2e)

    def goodput(self, samples: Sequence[Sample]) -> float | None:
        """Between 0 and 1; None without any sample."""
        return sum(map(self.is_met, samples)) / len(samples) if samples else None


def read_slo(text: str) -> Slo:
    """From `ttft=500,e2e=3000`. Raises BadSlo."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            limits[name] = float(number)
        except ValueError:
            raise BadSlo() from None
    if not limits.keys() <= {"ttft", "e2e"} or not all(0 < at < 1e9 for at in limits.values()):
        raise BadSlo()
    return Slo(**limits)
