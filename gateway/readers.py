"""What providers' answers say of themselves: usage, model, and whether they are complete.

A reader knows the answers of one kind of call, whole ones and the events of a stream, and notes in
a `Reading` what the ledger wants to know. It works on plain JSON: SDK objects would cost five times
the relay itself. What it does not understand it leaves alone, as the client may.

Where the tokens stand on the wire: docs of platform.openai.com, platform.claude.com and
ai.google.dev. `Usage` counts cached tokens as input and reasoning as output; see
`providers.vocabulary`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from providers.vocabulary import JSON, Usage, tier_of
from usage.ledger import estimated_tokens
from usage.models import UsageSource

_MOST_TOKENS = 500_000_000  # four such counts still fit into the ledger's columns


@dataclass(slots=True)
class Reading:
    """What has been read so far. `characters` of answer, for estimates; `ended` once the answer is
    complete and `closed` once nothing more will come; `error` is the body of an error that came
    with status 200."""

    usage: Usage | None = None
    model: str = ""
    characters: int = 0
    ended: bool = False
    closed: bool = False
    error: JSON | None = None

    def tokens(self, prompt_characters: Callable[[], int]) -> tuple[Usage, UsageSource]:
        """The usage as reported, or an estimate; zero where nothing has arrived at all. An answer
        that is complete has been paid for, though it may hold no text (an embedding, say)."""
        if self.usage is not None and self.ended:
            return self.usage, UsageSource.REPORTED
        if self.usage is None and not self.characters and not self.ended:
            return Usage(), UsageSource.ESTIMATED
        told = self.usage or Usage(input_tokens=estimated_tokens(prompt_characters()))
        output = max(told.output_tokens, estimated_tokens(self.characters))
        return told._replace(output_tokens=output), UsageSource.ESTIMATED


Reader = Callable[[Reading, JSON], None]


_OPENAI_TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})


def read_openai(reading: Reading, event: JSON) -> None:
    model = event.get("model")
    if model and model != reading.model:
        reading.model = _word(model) or reading.model
    for choice in event.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        for name, text in said.items():
            if name in _OPENAI_TEXTS and isinstance(text, str):
                reading.characters += len(text)
        for call in said.get("tool_calls") or ():
            function = call.get("function") or {}
            reading.characters += _length(function.get("name"))
            reading.characters += _length(function.get("arguments"))
        if choice.get("finish_reason"):
            reading.ended = True
    if counts := event.get("usage"):
        reading.usage = _openai_usage(counts, event.get("service_tier"))


def _openai_usage(counts: JSON, tier: object) -> Usage:
    """Some servers leave thinking out of the completion but not out of the total."""
    prompt, completion = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    hidden = max(0, _count(counts, "total_tokens") - prompt - completion)
    cached = written = thought = 0
    if details := counts.get("prompt_tokens_details"):
        cached, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    if thinking := counts.get("completion_tokens_details"):
        thought = _count(thinking, "reasoning_tokens")
    return Usage(
        input_tokens=prompt,
        output_tokens=completion + hidden,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=max(thought, hidden),
        service_tier=tier_of(tier) if tier else "",
    )


_ENDS = {"response.completed", "response.incomplete", "response.failed"}


def read_responses(reading: Reading, event: JSON) -> None:
    """OpenAI's Responses: a whole one, or the events of a stream, whose last has it whole."""
    kind = str(event.get("type", ""))
    if kind.endswith(".delta"):
        reading.characters += _length(event.get("delta"))
    response = event.get("response") or (event if event.get("object") == "response" else None)
    if response is None:
        return
    reading.model = _word(response.get("model")) or reading.model
    if counts := response.get("usage"):
        reading.usage = _responses_usage(counts, response.get("service_tier"))
    if kind in _ENDS:
        reading.ended = reading.closed = True


def _responses_usage(counts: JSON, tier: object) -> Usage:
    cached = counts.get("input_tokens_details") or {}
    thinking = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=_count(counts, "input_tokens"),
        output_tokens=_count(counts, "output_tokens"),
        cache_read_tokens=_count(cached, "cached_tokens"),
        cache_write_tokens=_count(cached, "cache_write_tokens"),
        reasoning_tokens=_count(thinking, "reasoning_tokens"),
        service_tier=tier_of(tier),
    )


def read_anthropic(reading: Reading, event: JSON) -> None:
    kind = event.get("type")
    message = event.get("message") if kind == "message_start" else event
    if kind in ("message", "message_start"):
        assert message is not None
        reading.model = _word(message.get("model")) or reading.model
        for block in message.get("content") or ():
            _add_block(reading, block)
    elif kind == "content_block_start":
        _add_block(reading, event["content_block"])
    elif kind == "content_block_delta":
        _add_block(reading, event["delta"])
    if kind in ("message", "message_start", "message_delta"):
        assert message is not None
        reading.usage = _anthropic_usage(message.get("usage") or {}, reading.usage or Usage())
    reading.closed = reading.closed or kind == "message_stop"
    if kind in ("message", "message_delta"):
        reading.ended = reading.ended or bool(event.get("delta", event).get("stop_reason"))


def _add_block(reading: Reading, block: JSON) -> None:
    for name in ("text", "thinking", "partial_json", "name"):
        reading.characters += _length(block.get(name))
    if block.get("input"):
        reading.characters += len(json.dumps(block["input"]))


def _anthropic_usage(counts: JSON, before: Usage) -> Usage:
    """Cache tokens are not in `input_tokens` on the wire. Counts are cumulative, and those that
    an event leaves out stay as they were."""
    read = _count(counts, "cache_read_input_tokens", before.cache_read_tokens)
    written = _count(counts, "cache_creation_input_tokens", before.cache_write_tokens)
    by_age = counts.get("cache_creation") or {}
    hour = _count(by_age, "ephemeral_1h_input_tokens", before.cache_write_1h_tokens)
    plain = before.input_tokens - before.cache_read_tokens - before.cache_write_tokens
    details = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=_count(counts, "input_tokens", plain) + read + written,
        output_tokens=_count(counts, "output_tokens", before.output_tokens),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_count(details, "thinking_tokens", before.reasoning_tokens),
        cache_write_1h_tokens=min(hour, written),
        service_tier=tier_of(counts.get("speed")) or before.service_tier,
    )


def read_google(reading: Reading, event: JSON) -> None:
    reading.model = _word(event.get("modelVersion")) or reading.model
    blocked = (event.get("promptFeedback") or {}).get("blockReason")
    reading.ended = reading.ended or bool(blocked)
    for candidate in event.get("candidates") or ():
        for part in (candidate.get("content") or {}).get("parts") or ():
            reading.characters += _length(part.get("text"))
            if call := part.get("functionCall"):
                reading.characters += len(json.dumps(call))
        reading.ended = reading.ended or bool(candidate.get("finishReason"))
    if counts := event.get("usageMetadata"):
        reading.usage = _google_usage(counts)


def _google_usage(counts: JSON) -> Usage:
    """Thinking is not among the candidates' tokens, nor what Google's own tools have read among
    the prompt's."""
    thoughts = _count(counts, "thoughtsTokenCount")
    tools = _count(counts, "toolUsePromptTokenCount")
    return Usage(
        input_tokens=_count(counts, "promptTokenCount") + tools,
        output_tokens=_count(counts, "candidatesTokenCount") + thoughts,
        cache_read_tokens=_count(counts, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        service_tier=tier_of(counts.get("serviceTier")),
    )


def read_google_embedding(reading: Reading, event: JSON) -> None:
    """Not every model's embeddings report what they read; those that don't are estimated."""
    if counts := event.get("usageMetadata"):
        reading.usage = _google_usage(counts)


def read_count(reading: Reading, event: JSON) -> None:
    """A count of tokens uses none itself."""
    reading.usage = Usage()


def _count(counts: JSON, name: str, otherwise: int = 0) -> int:
    """A number of tokens, whatever a server may have sent in its place."""
    value = counts.get(name)
    if type(value) is not int:
        return otherwise
    return value if 0 <= value <= _MOST_TOKENS else min(max(value, 0), _MOST_TOKENS)


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _word(value: object) -> str:
    """Printable only: PostgreSQL stores no NUL, and a header no line break."""
    if not isinstance(value, str):
        return ""
    return value if value.isprintable() else "".join(filter(str.isprintable, value))
