"""What is going to be measured, decided before the first call and all of it by one seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.slo import Slo

MOST_IN_FLIGHT = 256  # that are worth simulating


@dataclass(frozen=True, slots=True)
class Contender:
    """One model of one provider, with one key. `credential` is the id of a key that was named,
    "" for the usual one, and `title` what that key is called."""

    provider: str
    model: str
    credential: str = ""
    title: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make. `run` counts from 1; `cold` ones are warm-ups, reported apart. `level` is
    how many calls may be under way at that time, 0: any number. `block` counts the rounds."""

    order: int
    contender: Contender
    prompt: Prompt
    run: int
    cold: bool
    level: int = 1
    block: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`timeout` is in seconds, `max_cost` in USD, `rate` in calls a second.

    The seed decides the order of calls and is not sent to anybody. `levels` are the numbers of
    calls at a time, at most, one after the other; with a `rate`, calls leave at moments of
    chance instead, however many are under way. `shards` processes share the calls.
    """

    contenders: tuple[Contender, ...]
    seed: int
    prompts: tuple[Prompt, ...] = PROMPTS
    runs: int = 3
    warmup: int = 1
    max_tokens: int = 1024
    timeout: float = 120.0
    levels: tuple[int, ...] = (1,)
    rate: float | None = None
    stream: bool = True
    max_cost: Decimal | None = None
    slo: Slo | None = None
    shards: int = 1

    def steps(self) -> list[Step]:
        """All calls in the order in which they are made.

        Within a round (a block) each contender has its turn, in an order of chance: what slows
        down the network or this machine for a while then meets all of them alike.
        """
        chance, size = random.Random(self.seed), len(self.contenders)
        return [
            Step(block * size + place, contender, prompt, run, cold, level, block)
            for block, (prompt, run, cold, level) in enumerate(self._rounds())
            for place, contender in enumerate(chance.sample(self.contenders, size))
        ]

    def steps_of(self, shard: int) -> list[Step]:
        """The share of one shard: whole blocks, so that the calls of a pair stay together."""
        return [step for step in self.steps() if step.block % self.shards == shard]

    def at_a_time(self, level: int, shard: int) -> int:
        """The part of a level that is a shard's own, at least one call."""
        return max(level // self.shards + (shard < level % self.shards), 1)

    def in_flight(self, seconds: float) -> int:
        """How many calls are under way on average at its rate if each takes so long (Little)."""
        return min(max(math.ceil((self.rate or 0.0) * seconds), 1), MOST_IN_FLIGHT)

    def label(self, contender: Contender) -> str:
        """The provider's name, with model and key only where they are needed to tell two apart."""
        same = [other for other in self.contenders if other.provider == contender.provider]
        parts = [contender.provider]
        if len({other.model for other in same}) > 1:
            parts.append(contender.model)
        if len({other.credential for other in same}) > 1:
            parts.append(f"“{contender.title or 'usual key'}”")
        return " ".join(parts)

    def _rounds(self) -> Iterator[tuple[Prompt, int, bool, int]]:
        """(prompt, run, cold, level). Each shard has connections of its own to warm up."""
        for run in range(1, self.warmup * self.shards + 1):
            yield self.prompts[0], run, True, self.levels[0]
        for level in self.levels if self.rate is None else (0,):
            for prompt in self.prompts:
                for run in range(1, self.runs + 1):
                    yield prompt, run, False, level
