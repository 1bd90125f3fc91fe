"""From a prompt to the planned answer: words, JSON or tool calls, cut where limits say so."""

import itertools
import random

from benchmarks.simulator import text, tokens
from benchmarks.simulator.prompt import Answer, Call, Part, Prompt
from benchmarks.simulator.schema import instance
from benchmarks.simulator.settings import Behaviour
from benchmarks.simulator.shapes import dumps
from benchmarks.simulator.tools import calls_for

REFUSAL = "I'm sorry, but I can't help with that."
THOUGHT = "Let me think about this step by step."
CALL_PIECE = 8


def plan(
    prompt: Prompt, behaviour: Behaviour, fault: str = "", refuses_in_words: bool = True
) -> Answer:
    """What will be said. The faults `refuse` and `cut` end the answer early."""
    count = tokens.count_prompt(prompt)
    parts, finish, stopped = _content(prompt, behaviour, fault)
    if fault == "refuse" and not refuses_in_words:
        parts = ()
    if fault == "cut":
        parts, finish = _cut(parts, max(sum(len(p.pieces) for p in parts) // 2, 1)), "length"
    size = sum(len(part.pieces) for part in parts)
    if prompt.max_tokens is not None and size > prompt.max_tokens:
        parts, finish, stopped = _cut(parts, prompt.max_tokens), "length", None
    return Answer(
        parts=parts,
        finish=finish,
        input=count,
        cached=min(behaviour.cached_tokens, count),
        reasoning=behaviour.reasoning_tokens,
        stop_sequence=stopped,
    )


def _content(
    prompt: Prompt, behaviour: Behaviour, fault: str
) -> tuple[tuple[Part, ...], str, str | None]:
    if fault == "refuse":
        return (Part(tokens.split(REFUSAL)),), "refusal", None
    calls = calls_for(prompt)
    if calls:
        return tuple(Part(_argument_pieces(call), call) for call in calls), "tool_calls", None
    said, stopped = _stopped(_words(prompt, behaviour), prompt.stop)
    return (Part(said),), "stop_sequence" if stopped else "stop", stopped


def _words(prompt: Prompt, behaviour: Behaviour) -> tuple[str, ...]:
    results = text.results_in_turn(prompt)
    said = text.about_results(results) if results else text.answer(prompt)
    if prompt.schema is not None:
        return tokens.split(dumps(instance(prompt.schema, text.last_user(prompt).text, said)))
    if prompt.wants_json:
        return tokens.split(dumps({"answer": said}))
    return _sized(tokens.split(said), behaviour)


def _sized(pieces: tuple[str, ...], behaviour: Behaviour) -> tuple[str, ...]:
    """Exactly as many tokens as asked for, if a number is."""
    if behaviour.tokens is None:
        return pieces
    more = itertools.islice(text.filler(behaviour.seed), max(behaviour.tokens - len(pieces), 0))
    return (pieces + tuple(more))[: behaviour.tokens]


def _stopped(pieces: tuple[str, ...], stops: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The pieces before the earliest stop sequence, and which one it was."""
    whole = "".join(pieces) if stops else ""
    found = [(whole.find(stop), stop) for stop in stops if stop in whole]
    if not found:
        return pieces, None
    at, stop = min(found)
    return tokens.split(whole[:at]), stop


def _argument_pieces(call: Call) -> tuple[str, ...]:
    """The arguments as JSON in fragments that, like a provider's, ignore its syntax."""
    arguments = dumps(call.arguments)
    return tuple(arguments[at : at + CALL_PIECE] for at in range(0, len(arguments), CALL_PIECE))


def _cut(parts: tuple[Part, ...], size: int) -> tuple[Part, ...]:
    kept: list[Part] = []
    for part in parts:
        if size <= 0:
            break
        kept.append(Part(part.pieces[:size], part.call))
        size -= len(part.pieces)
    return tuple(kept)


def schedule(answer: Answer, behaviour: Behaviour) -> list[float]:
    """Seconds after the request at which each output token leaves; never decreasing.

    token k = ttft + k * itl, plus up to `jitter_ms` that the seed decides.
    """
    first, step = behaviour.ttft_ms / 1e3, behaviour.itl_ms / 1e3
    if not behaviour.jitter_ms:
        return [first + step * k for k in range(max(answer.output, 1))]
    chance = random.Random(behaviour.seed)
    late = (chance.uniform(0, behaviour.jitter_ms / 1e3) for _ in itertools.count())
    times = (first + step * k + next(late) for k in range(max(answer.output, 1)))
    return list(itertools.accumulate(times, max))
