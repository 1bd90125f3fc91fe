"""Usage, read from a provider's bytes as they pass.

A reader knows the answers of one dialect, whole ones and the events of a stream, and notes in a
`Reading` what the ledger wants to know. It works on plain JSON: SDK objects would cost five times
the relay itself. What it does not understand it leaves alone, as the client may.

Where the tokens stand on the wire: docs of platform.openai.com, platform.claude.com and
ai.google.dev. `Usage` counts cached tokens as input and reasoning as output; see
`providers.vocabulary`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from providers.redaction import redact
from providers.vocabulary import JSON, Usage
from usage.ledger import estimated_tokens
from usage.models import UsageSource

_MOST_TOKENS = 500_000_000  # four such counts still fit into the ledger's columns
_UNEXPECTED = (AttributeError, TypeError, ValueError, LookupError, RecursionError)


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
        """The usage as reported, or an estimate; zero where nothing has arrived at all."""
        if self.usage is not None and self.ended:
            return self.usage, UsageSource.REPORTED
        if self.usage is None and not self.characters:
            return Usage(), UsageSource.ESTIMATED
        told = self.usage or Usage(input_tokens=estimated_tokens(prompt_characters()))
        output = max(told.output_tokens, estimated_tokens(self.characters))
        return replace(told, output_tokens=output), UsageSource.ESTIMATED


Reader = Callable[[Reading, JSON], None]


def read_openai(reading: Reading, event: JSON) -> None:
    reading.model = _word(event.get("model")) or reading.model
    for choice in event.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            reading.characters += _length(said.get(name))
        for call in said.get("tool_calls") or ():
            function = call.get("function") or {}
            reading.characters += _length(function.get("name"))
            reading.characters += _length(function.get("arguments"))
        reading.ended = reading.ended or bool(choice.get("finish_reason"))
    if counts := event.get("usage"):
        reading.usage = _openai_usage(counts)


def _openai_usage(counts: JSON) -> Usage:
    """Some servers leave thinking out of the completion but not out of the total."""
    prompt, completion = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    hidden = max(0, _count(counts, "total_tokens") - prompt - completion)
    cached = counts.get("prompt_tokens_details") or {}
    thinking = counts.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=prompt,
        output_tokens=completion + hidden,
        cache_read_tokens=_count(cached, "cached_tokens"),
        cache_write_tokens=_count(cached, "cache_write_tokens"),
        reasoning_tokens=max(_count(thinking, "reasoning_tokens"), hidden),
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
    plain = before.input_tokens - before.cache_read_tokens - before.cache_write_tokens
    details = counts.get("output_tokens_details") or {}
    return Usage(
        input_tokens=_count(counts, "input_tokens", plain) + read + written,
        output_tokens=_count(counts, "output_tokens", before.output_tokens),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=_count(details, "thinking_tokens", before.reasoning_tokens),
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
    )


def _count(counts: JSON, name: str, otherwise: int = 0) -> int:
    """A number of tokens, whatever a server may have sent in its place."""
    value = counts.get(name)
    return min(max(value, 0), _MOST_TOKENS) if type(value) is int else otherwise


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _word(value: object) -> str:
    """Printable only: PostgreSQL stores no NUL, and a header no line break."""
    return "".join(filter(str.isprintable, value)) if isinstance(value, str) else ""


def read_whole(read: Reader, body: bytes) -> Reading | None:
    """What a whole answer says; None if it is no JSON object (or, from Gemini, a list of them)."""
    reading = Reading()
    try:
        parsed = json.loads(body)
    except _UNEXPECTED:
        return None
    events = parsed if isinstance(parsed, list) else [parsed]
    if not all(isinstance(event, dict) for event in events):
        return None
    for event in events:
        _note(read, reading, event)
    reading.ended = True
    return reading


def _note(read: Reader, reading: Reading, event: JSON) -> None:
    if event.get("error"):
        reading.error, reading.closed = event, True
    try:
        read(reading, event)
    except _UNEXPECTED:
        return  # of a shape that no document describes: it is the client's to understand


@dataclass(slots=True)
class StreamTap:
    """Server-sent events on their way. Lines pass whole and unchanged, but for two: the usage
    that only we asked for is left out, and `secret` is taken out of errors.

    The line that closes the stream, and what follows, is held back for `rest`: the ledger has its
    row before a client can know that the stream is over. It carries no content.
    """

    read: Reader
    secret: str = field(repr=False)
    hides_usage: bool = False
    reading: Reading = field(default_factory=Reading)
    _begun: list[bytes] = field(default_factory=list)
    _held: list[bytes] = field(default_factory=list)
    _skips_blank: bool = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to pass on now; a line that is not complete waits for its end."""
        if b"\n" not in chunk:
            self._begun.append(chunk)
            return b""
        *lines, rest = (b"".join(self._begun) + chunk).split(b"\n")
        self._begun = [rest]
        passing: list[bytes] = []
        for line in self._kept(lines):
            (self._held if self.reading.closed else passing).append(line)
        return b"".join(passing)

    def rest(self) -> bytes:
        """What is left when the stream has ended: what was held back, and a line without end."""
        left, self._begun = b"".join(self._begun), []
        last = b"".join(self._kept([left]))[:-1] if left else b""
        return b"".join(self._held) + last

    def _kept(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            if line.startswith(b"data:"):
                line = self._data(line)
                self._skips_blank = not line
                if not line:
                    continue
            elif self._skips_blank and not line.strip():
                self._skips_blank = False
                continue
            yield line + b"\n"

    def _data(self, line: bytes) -> bytes:
        """The line as it should pass; empty if it should not."""
        payload = line[len(b"data:") :].strip()
        if payload == b"[DONE]":
            self.reading.ended = self.reading.closed = True
            return line
        try:
            event = json.loads(payload)
        except _UNEXPECTED:
            return line
        if not isinstance(event, dict):
            return line
        _note(self.read, self.reading, event)
        if event.get("error"):
            return redact(line.decode("utf-8", "replace"), self.secret).encode()
        return b"" if self.hides_usage and _is_usage_only(event) else line


def _is_usage_only(event: dict[str, Any]) -> bool:
    return bool(event.get("usage")) and event.get("choices") == []
