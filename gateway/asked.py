"""A request's body, as far as the gateway has to understand it; the rest stays as it came."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from gateway.errors import BadBody
from gateway.plain_json import parse
from gateway.routes import Route
from providers.bounds import MOST_ASKED, holds_too_much
from providers.vocabulary import JSON

MODEL = re.compile(r"[\x21-\x7e]{1,128}")
_SPACE = re.compile(r"[ \t\n\r]*")
_TEXTS = ("text", "content", "system", "input", "instructions")


class Asked(NamedTuple):
    """`body` are the client's bytes; `hides_usage` says that usage was asked for by us and not by
    the client."""

    model: str
    stream: bool
    body: bytes
    parsed: JSON
    hides_usage: bool = False


def read_request(where: Route, body: bytes) -> Asked:
    """Raises BadBody, for what no provider could answer either, or could not be counted."""
    if holds_too_much(body, MOST_ASKED):
        raise BadBody(flaw=f"its body holds more than {MOST_ASKED:,} values")
    try:
        parsed = parse(body)
    except (ValueError, RecursionError):
        raise BadBody(flaw=_unread(body)) from None
    if not isinstance(parsed, dict):
        raise BadBody(flaw="its body is not a JSON object")
    model = where.model or parsed.get("model")
    # The name goes into headers and into the ledger.
    if not isinstance(model, str) or not MODEL.fullmatch(model):
        raise BadBody(flaw="it names no model")
    for name, reason in where.does.refuses:
        if parsed.get(name):
            raise BadBody(flaw=f"{name}: {reason}")
    stream = where.stream if where.model else parsed.get("stream") is True
    return Asked(model=model, stream=stream, body=body, parsed=parsed)


def _unread(body: bytes) -> str:
    """Why it is no JSON; gzip and Zstandard are told by how they begin."""
    if body.startswith((b"\x1f\x8b", b"(\xb5/\xfd")):
        return "its body is compressed: send it as it is"
    return "its body is not JSON"


def asking_for_usage(asked: Asked) -> Asked:
    """A stream of OpenAI's chat reports usage only if told to.

    Where the client sent no `stream_options`, they are put before its own bytes, which stay as
    they were. Options that can't be understood are left to the provider to refuse.
    """
    options = asked.parsed.get("stream_options")
    if not asked.stream or not isinstance(options, dict | None):
        return asked
    if options and options.get("include_usage"):
        return asked
    if "stream_options" in asked.parsed:
        wanted = {**(options or {}), "include_usage": True}
        body = json.dumps({**asked.parsed, "stream_options": wanted}).encode()
    else:
        before, brace, after = asked.body.partition(b"{")
        body = before + brace + b'"stream_options":{"include_usage":true},' + after
    return asked._replace(body=body, hides_usage=True)


def naming(asked: Asked, model: str) -> Asked:
    """The request with another name for its model, and not a byte else changed."""
    text = asked.body.decode()
    kept: list[str] = []
    at = 0
    for start, end in _values_of(text, "model"):
        kept += [text[at:start], json.dumps(model)]
        at = end
    body = "".join([*kept, text[at:]]).encode()
    return asked._replace(model=model, body=body, parsed={**asked.parsed, "model": model})


def naming_inside(asked: Asked, model: str) -> Asked:
    """The same where the address names the model: Gemini's bodies repeat it at times, and further
    in. One that does not stays as it is, byte for byte."""
    if f'"models/{asked.model}"'.encode() not in asked.body:
        return asked._replace(model=model)
    parsed = _renamed(asked.parsed, f"models/{asked.model}", f"models/{model}")
    return asked._replace(model=model, body=json.dumps(parsed).encode(), parsed=parsed)


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, list):
        return [_renamed(inner, old, new) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: new if name == "model" and inner == old else _renamed(inner, old, new)
        for name, inner in value.items()
    }


def _values_of(text: str, name: str) -> list[tuple[int, int]]:
    """Where the values of that member stand in a JSON object: more than one, if it is given
    twice. The text has been parsed before, so it is an object."""
    found: list[tuple[int, int]] = []
    decoder = json.JSONDecoder()
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = decoder.raw_decode(text, start)
        if key == name:
            found.append((start, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    """Past white space."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def prompt_characters(body: bytes) -> int:
    """How much text a request holds, for the estimate where no usage was reported."""
    characters = 0
    todo: list[Any] = [json.loads(body)]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            characters += sum(_text_length(value.get(name)) for name in _TEXTS)
            todo += [inner for inner in value.values() if isinstance(inner, dict | list)]
    return characters


def _text_length(value: object) -> int:
    """Of a text, or of a list of texts, as embeddings take them."""
    texts = value if isinstance(value, list) else [value]
    return sum(len(text) for text in texts if isinstance(text, str))
