"""Usage, read from a provider's bytes as they pass; what they mean, `gateway.readers` knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.plain_json import parse
from gateway.readers import Reader, Reading
from providers.bounds import MOST_ANSWERED, MOST_LINE_BYTES, holds_too_much
from providers.http import UnreadableAnswer
from providers.redaction import redact
from providers.vocabulary import JSON

_MOST_TRIES = 8  # in one chunk to find events that are alike, as each looks through all of it
_UNEXPECTED = (AttributeError, TypeError, ValueError, LookupError, RecursionError)


def read_whole(read: Reader, body: bytes) -> Reading | None:
    """What a whole answer says; None if it is no JSON object (or, from Gemini, a list of them)."""
    if holds_too_much(body, MOST_ANSWERED):
        return None
    reading = Reading()
    try:
        parsed = parse(body, "utf-8-sig")
    except _UNEXPECTED:
        return None
    for event in parsed if isinstance(parsed, list) else [parsed]:
        if not isinstance(event, dict):
            return None
        _note(read, reading, event)
    reading.ended = True
    return reading


def _note(read: Reader, reading: Reading, event: JSON) -> None:
    if error := _error_in(event):
        reading.error, reading.closed = error, True
    try:
        read(reading, event)
    except _UNEXPECTED:
        return  # of a shape that no document describes: it is the client's to understand


def _error_in(event: JSON) -> JSON | None:
    """The body of an error that an event tells of, in any of the ways that there are."""
    kind = event.get("type")
    if event.get("error") or kind == "error":
        return event
    if kind == "response.failed" and isinstance(response := event.get("response"), dict):
        return {"error": response.get("error") or {}}
    return None


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
    _shape: tuple[bytes, bytes] | None = None
    _begun: bytearray = field(default_factory=bytearray)
    _held: bytearray = field(default_factory=bytearray)
    _skips_blank: bool = False

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to pass on now; a line that is not complete waits for its end. Raises
        UnreadableAnswer where too much would have to wait.

        Most events of most streams are like the one before in all but their text: to compare them
        takes a tenth of what reading them does.
        """
        if b"\n" not in chunk:
            self._begun += chunk
            if len(self._begun) > MOST_LINE_BYTES:
                raise UnreadableAnswer("a line of the stream is too long")
            return b""
        if self._begun:
            chunk = bytes(self._begun) + chunk
            self._begun.clear()
        passing: list[bytes] = []
        begin = at = 0  # `begin` is where that begins which passes as it is
        for _ in range(_MOST_TRIES):
            if self._shape is not None:
                at = self._end_of_alike(chunk, at, *self._shape)
            end = chunk.find(b"\n\n", at)
            if end < 0:
                break
            end += 2
            event = chunk[at:end]
            passes = self._read_event(event)
            if passes is not event:
                passing += (chunk[begin:at], passes)
                begin = end
            at = end
        if at == len(chunk) and not begin:
            return chunk
        passing.append(chunk[begin:at])
        if at < len(chunk):
            *lines, rest = chunk[at:].split(b"\n")
            self._begun += rest
            self._pass(lines, passing)
        return b"".join(passing)

    def _end_of_alike(self, chunk: bytes, at: int, before: bytes, after: bytes) -> int:
        """Where the events end that follow each other from `at` on and are like the one before in
        all but their text, which has been noted then; `at` if there is none.

        All of them are looked at in a few steps, however many they are.
        """
        if self._skips_blank or self.reading.closed or not chunk.startswith(before, at):
            return at
        end = after + b"\n\n"
        start = at + len(before)
        last = chunk.rfind(end, start)
        if last < 0:
            return at
        texts = chunk[start:last].split(end + before)
        text = b"".join(texts)
        if text.isascii() and _is_plain(text):
            self.reading.characters += len(text)
            return last + len(end)
        for text in texts:
            characters = _characters(text)
            if characters is None:
                break
            self.reading.characters += characters
            at += len(before) + len(text) + len(end)
        return at

    def _read_event(self, event: bytes) -> bytes:
        """An event, with the blank line at its end, as it should pass now: the same object if it
        should pass as it is."""
        is_one_line = event.find(b"\n") == len(event) - 2
        if (
            is_one_line
            and event.startswith(b"data:")
            and not (self._skips_blank or self.reading.closed)
        ):
            line = event[:-2]
            kept = self._read_data(line)  # seldom like the one before: `feed` has compared
            if kept is line and not self.reading.closed:
                return event
            passes = kept + b"\n\n" if kept else b""
            if self.reading.closed:
                self._hold(passes)
                return b""
            return passes
        passing: list[bytes] = []
        self._pass(event[:-1].split(b"\n"), passing)
        self._name_shape(event)
        return b"".join(passing)

    def _name_shape(self, event: bytes) -> None:
        """An event's shape is that of its data, with what stands before: Anthropic's have a name.
        It is that of the data alone until a whole event has been seen."""
        before, after = self._shape or (b"", b"")
        if before.startswith(b"data:"):
            head, newline, data = event[:-2].rpartition(b"\n")
            if head and data.startswith(before) and b"data:" not in head:
                self._shape = head + newline + before, after

    def _pass(self, lines: list[bytes], passing: list[bytes]) -> None:
        for line in self._kept(lines):
            if self.reading.closed:
                self._hold(line)
            else:
                passing.append(line)

    def _hold(self, line: bytes) -> None:
        self._held += line
        if len(self._held) > MOST_LINE_BYTES:
            raise UnreadableAnswer("too much comes after the end of the stream")

    def rest(self) -> bytes:
        """What is left when the stream has ended: what was held back, and a line without end."""
        left, self._begun = bytes(self._begun), bytearray()
        last = b"".join(self._kept([left]))[:-1] if left else b""
        return bytes(self._held) + last

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
        if self._shape is not None:
            characters = _characters_between(line, *self._shape)
            if characters is not None:
                self.reading.characters += characters
                return line
        return self._read_data(line)

    def _read_data(self, line: bytes) -> bytes:
        payload = line[len(b"data:") :].strip()
        if holds_too_much(payload, MOST_ANSWERED):
            return line
        if payload == b"[DONE]":
            self.reading.ended = self.reading.closed = True
            return line
        try:
            event = parse(payload)
        except _UNEXPECTED:
            return line
        if not isinstance(event, dict):
            return line
        before = self.reading.characters
        _note(self.read, self.reading, event)
        if counted := self.reading.characters - before:
            self._shape = _shape_of(line, counted) or self._shape
        if self.reading.error is not None:
            return redact(line.decode("utf-8", "replace"), self.secret).encode()
        return b"" if self.hides_usage and _is_usage_only(event) else line


def _characters_between(line: bytes, before: bytes, after: bytes) -> int | None:
    start, end = len(before), len(line) - len(after)
    if start > end or not (line.startswith(before) and line.endswith(after)):
        return None
    return _characters(line[start:end])


def _characters(text: bytes) -> int | None:
    """How many characters that is which stands between two quotation marks in JSON; None if it is
    no text, or more than one."""
    if _is_plain(text):
        return len(text) if text.isascii() else len(text.decode("utf-8", "replace"))
    try:
        return len(orjson.loads(b'"%b"' % text))
    except ValueError:
        return None


def _is_plain(text: bytes) -> bool:
    return not (b'"' in text or b"\\" in text or b"\n" in text)


_TEXT = re.compile(rb'"(?:content|text)": ?"([^"\\]+)"')


def _shape_of(line: bytes, characters: int) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of a line, where the text is all that was counted in
    it and stands there once."""
    found = _TEXT.search(line)
    if found is None or _TEXT.search(line, found.end()):
        return None
    start, end = found.span(1)
    return (line[:start], line[end:]) if _characters(line[start:end]) == characters else None


def _is_usage_only(event: dict[str, Any]) -> bool:
    return bool(event.get("usage")) and event.get("choices") == []
