"""The questions that every contender gets, from short to long."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.checks import Check


@dataclass(frozen=True, slots=True)
class Prompt:
    """`simulated_tokens` is how long the simulator's answer is; None lets it say what it likes."""

    name: str
    text: str
    simulated_tokens: int | None = None
    system: str = ""
    checks: tuple[Check, ...] = ()


PROMPTS = (
    Prompt("Simple Question", "What is the capital of France? Answer with one word."),
    Prompt(
        "Medium Explanation",
        "Explain in about 60 words how HTTPS protects a password on its way to a web server.",
        simulated_tokens=80,
    ),
    Prompt(
        "Complex Reasoning",
        "A team of four shares one API budget of 1,000 US dollars a month. Compare equal shares, "
        "shares by past use, and first come first served: for each, one advantage, one way to "
        "abuse it and one safeguard. End with a recommendation. Use about 200 words.",
        simulated_tokens=160,
    ),
)

BUILT_IN = dict(zip(("simple", "medium", "complex"), PROMPTS, strict=True))
"""By the short names that people may write."""
