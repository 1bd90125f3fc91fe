"""Our tokenizer: deterministic, lossless, and near enough to the providers' in size.

A token is a run of at most seven word characters or one other character, with the white space
before it. Joining the tokens gives the text back, so that streamed pieces are exactly the tokens
that usage reports.
"""

import re
from collections.abc import Iterable

from benchmarks.simulator.prompt import Message, Prompt
from benchmarks.simulator.shapes import dumps

TOKEN = re.compile(r"\s*(?:\w{1,7}|[^\w\s])|\s+")
EXACT_UP_TO = 400_000
PER_MESSAGE = 3
PER_IMAGE = 85


def split(text: str) -> tuple[str, ...]:
    """The tokens of `text`; their concatenation is `text`."""
    return tuple(TOKEN.findall(text))


def count(text: str) -> int:
    """Number of tokens; beyond 400,000 characters estimated, so that nothing blocks the loop."""
    if len(text) > EXACT_UP_TO:
        return len(text) // 4
    return sum(1 for _ in TOKEN.finditer(text))


def count_prompt(prompt: Prompt) -> int:
    """Input tokens: system, tools (as JSON), schema, all messages plus 3 each, 85 per image."""
    total = count(prompt.system) + sum(map(_count_message, prompt.messages))
    for tool in prompt.tools:
        total += count(f"{tool.name} {tool.description}") + count(dumps(tool.schema))
    if prompt.schema is not None:
        total += count(dumps(prompt.schema))
    return max(total, 1)


def _count_message(message: Message) -> int:
    calls: Iterable[str] = (call.name + dumps(call.arguments) for call in message.calls)
    images = PER_IMAGE * len(message.images)
    return PER_MESSAGE + images + count(message.text) + sum(map(count, calls))
