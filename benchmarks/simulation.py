"""What the simulator is told to do for a call, and so what the stopwatch should have shown."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.plan import Step
from benchmarks.sample import Truth
from benchmarks.simulator.settings import SLIGHTLY_DIFFERENT

SPREAD = 0.15  # sigma of the lognormal factor: no two calls alike, as with real providers


@dataclass(frozen=True, slots=True)
class Timing:
    """How one call is to be answered. `tokens` None lets the simulator choose the length."""

    ttft_ms: float
    itl_ms: float
    tokens: int | None

    def headers(self) -> dict[str, str]:
        asked = {"x-sim-ttft-ms": repr(self.ttft_ms), "x-sim-itl-ms": repr(self.itl_ms)}
        return asked if self.tokens is None else {**asked, "x-sim-tokens": str(self.tokens)}

    def truth(self, output_tokens: int) -> Truth:
        """By the simulator's own schedule: token k leaves at ttft + k * itl."""
        last = self.ttft_ms + self.itl_ms * max(output_tokens - 1, 0)
        return Truth(ttft_ms=self.ttft_ms, latency_ms=last)


def timing(seed: int, step: Step) -> Timing:
    """The provider's usual delays, varied by chance; the same for the same seed and step."""
    chance = random.Random(f"{seed} {step.order}")
    usual = SLIGHTLY_DIFFERENT.get(step.contender.provider, SLIGHTLY_DIFFERENT["openai"])
    return Timing(
        ttft_ms=round(usual["ttft_ms"] * chance.lognormvariate(0, SPREAD), 3),
        itl_ms=round(usual["itl_ms"] * chance.lognormvariate(0, SPREAD), 3),
        tokens=step.prompt.simulated_tokens,
    )
