"""What a plan may be, whoever asks for it: the command, the page, a program or a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.plan import Plan
from benchmarks.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Range:
    """From `least` to `most`, without `least` itself where a value has to be `above` it."""

    unit: str
    least: int
    most: int
    above: bool = False

    def __contains__(self, value: Any) -> bool:
        return bool(self.least < value <= self.most or (value == self.least and not self.above))

    def __str__(self) -> str:
        if self.above:
            return f"{self.unit}, more than {self.least}, up to {self.most}"
        return f"{self.unit} from {self.least} to {self.most}"


RANGES = {
    "runs": Range("a whole number", 1, 10_000),
    "warmup": Range("a whole number", 0, 100),
    "max_tokens": Range("a whole number", 1, 100_000),
    "shards": Range("a whole number", 1, 64),
    "seed": Range("a whole number", 0, 2**63),
    "timeout": Range("seconds", 0, 3600, above=True),
    "rate": Range("calls a second", 0, 1000, above=True),
    "max_cost": Range("US dollars", 0, 1_000_000, above=True),
}
"""By field of the plan."""

AT_A_TIME = Range("a whole number", 1, 256)
MILLISECONDS = Range("milliseconds", 0, 10**9, above=True)
MOST_LEVELS, MOST_CONTENDERS, MOST_PROMPTS = 12, 50, 500
LONGEST_NAME = 64
MOST_BYTES = 2**20  # of all prompts together, and of a file of them

NAMES = {"levels": "concurrency", "shards": "workers"}
"""What people and programs call a field of the plan, where that is something else."""


class BadPlan(ValueError):
    """`field` is what people call the field that is wrong; the message says what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = NAMES.get(field, field)


def checked(plan: Plan) -> Plan:
    """The plan itself. Raises BadPlan for the first thing in it that can't be."""
    for field, problem in _problems(plan):
        raise BadPlan(field, problem)
    return plan


def bounds(field: str) -> dict[str, Any]:
    """As fields of forms and of the API want to be told."""
    return {"min_value": RANGES[field].least, "max_value": RANGES[field].most}


def read_levels(text: str) -> tuple[int, ...]:
    """From `1,4,16`, each once. Raises BadPlan."""
    try:
        levels = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise BadPlan("levels", "write a number, or several with commas between them") from None
    for problem in _of_levels(levels):
        raise BadPlan("levels", problem)
    return levels


def _problems(plan: Plan) -> Iterator[tuple[str, str]]:
    for field, range_ in RANGES.items():
        value = getattr(plan, field)
        if value is not None and value not in range_:
            yield field, f"{range_}, not {value}"
    if not 0 < len(plan.contenders) <= MOST_CONTENDERS:
        yield "contenders", f"from 1 to {MOST_CONTENDERS} can be compared"
    yield from (("levels", problem) for problem in _of_levels(plan.levels))
    yield from (("prompts", problem) for problem in _of_prompts(plan.prompts))
    yield from (("slo", problem) for problem in _of_slo(plan))
    if plan.rate is not None and plan.levels != (1,):
        yield "rate", "calls leave at a rate, or so many at a time: not both"
    if plan.rate is None and plan.shards > min(plan.levels):
        yield "shards", "each of them needs a call at a time, or there must be a rate"


def _of_levels(levels: tuple[int, ...]) -> Iterator[str]:
    if not 0 < len(levels) <= MOST_LEVELS:
        yield f"from 1 to {MOST_LEVELS} numbers of calls at a time"
    if any(level not in AT_A_TIME for level in levels):
        yield str(AT_A_TIME)


def _of_slo(plan: Plan) -> Iterator[str]:
    limits = (plan.slo.ttft, plan.slo.e2e) if plan.slo else ()
    if any(limit is not None and limit not in MILLISECONDS for limit in limits):
        yield str(MILLISECONDS)
    if plan.slo and plan.slo.ttft is not None and not plan.stream:
        yield "nobody sees a first token where answers are not streamed: leave its limit out"


def _of_prompts(prompts: tuple[Prompt, ...]) -> Iterator[str]:
    if not 0 < len(prompts) <= MOST_PROMPTS:
        yield f"from 1 to {MOST_PROMPTS} prompts are wanted, not {len(prompts)}"
    names: set[str] = set()
    for prompt in prompts:
        if not 0 < len(prompt.name) <= LONGEST_NAME:
            yield f"the name of a prompt has from 1 to {LONGEST_NAME} characters"
        if not prompt.text.strip():
            yield f"{prompt.name} has no text"
        if prompt.name in names:
            yield f"two prompts are called {prompt.name!r}"
        if not all(map(_can_be_kept, _texts(prompt))):
            yield f"{prompt.name!r} holds what is no character (NUL, or half of one)"
        names.add(prompt.name)
    if sum(len(text.encode()) for prompt in prompts for text in _texts(prompt)) > MOST_BYTES:
        yield f"all prompts together have at most {MOST_BYTES:,} bytes"


def _texts(prompt: Prompt) -> tuple[str, ...]:
    return (prompt.name, prompt.text, prompt.system, *(check.value for check in prompt.checks))


def _can_be_kept(text: str) -> bool:
    """PostgreSQL keeps no NUL, and nobody half of a character."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
