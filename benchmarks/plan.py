"""What is going to be measured, decided before the first call and all of it by one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.prompts import PROMPTS, Prompt


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of one provider."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make. `run` counts from 1; `cold` ones are warm-ups, reported apart."""

    order: int
    contender: Contender
    prompt: Prompt
    run: int
    cold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`timeout` is in seconds, `max_cost` in USD. The seed decides the order of calls and is not
    sent to anybody. At most `concurrency` calls are under way at a time."""

    contenders: tuple[Contender, ...]
    seed: int
    prompts: tuple[Prompt, ...] = PROMPTS
    runs: int = 3
    warmup: int = 1
    max_tokens: int = 1024
    timeout: float = 120.0
    concurrency: int = 1
    max_cost: Decimal | None = None

    def steps(self) -> list[Step]:
        """All calls in the order in which they are made.

        Within a round (a block) each contender has its turn, in an order of chance: what slows
        down the network or this machine for a while then meets all of them alike.
        """
        rounds = enumerate(self._rounds())
        return [Step(order, *call) for order, call in rounds]

    def label(self, contender: Contender) -> str:
        """The provider's name, with the model only where that is needed to tell two apart."""
        same = [other for other in self.contenders if other.provider == contender.provider]
        return contender.provider if len(same) == 1 else f"{contender.provider} {contender.model}"

    def _rounds(self) -> Iterator[tuple[Contender, Prompt, int, bool]]:
        chance = random.Random(self.seed)
        for run in range(1, self.warmup + 1):
            for contender in self._shuffled(chance):
                yield contender, self.prompts[0], run, True
        for prompt in self.prompts:
            for run in range(1, self.runs + 1):
                for contender in self._shuffled(chance):
                    yield contender, prompt, run, False

    def _shuffled(self, chance: random.Random) -> list[Contender]:
        return chance.sample(self.contenders, len(self.contenders))
