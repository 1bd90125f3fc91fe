"""What a dialect must offer, and the small things that all of them share."""

import mimetypes
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from benchmarks.simulator.models import Catalogue, Model
from benchmarks.simulator.problem import Problem, Reply
from benchmarks.simulator.prompt import Answer, Image, Prompt
from benchmarks.simulator.shapes import Json

AT_ONCE = -1
"""A frame that leaves before any token."""

Frame = tuple[int, bytes]
"""(index of the output token whose deadline it leaves at, bytes)."""


class Voice(Protocol):
    """Writes one answer in a dialect."""

    def whole(self, answer: Answer) -> Json:
        """The body of a response that is not streamed."""

    def frames(self, answer: Answer, chunk: int) -> Iterator[Frame]:
        """The stream, in order, `chunk` tokens per event."""

    def error_frame(self) -> bytes:
        """What the provider writes into a stream that fails half-way."""

    def garbage_frame(self) -> bytes:
        """An event that no client can parse."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A request for an answer: what to say, and the voice to say it in."""

    prompt: Prompt
    model: Model
    voice: Voice
    stream_type: str = "text/event-stream; charset=utf-8"


Action = Reply | Generation


@dataclass(frozen=True, slots=True)
class Request:
    """What a dialect sees of a request: path below its base, and a body it parses itself."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """One provider's wire format."""

    name: str
    key: Callable[[dict[str, str], dict[str, str]], str]
    route: Callable[[Request], Action]
    error: Callable[[Problem, str], Reply]
    headers: Callable[[str], dict[str, str]]
    refuses_in_words: bool = True


def known_model(catalogue: Catalogue, name: str, **facts: str) -> Model:
    """The model, or the Problem that the provider would answer."""
    model = catalogue.find(name)
    if model is None:
        raise Problem("no_model", model=name[:200], **facts)
    return model


def grouped(pieces: tuple[str, ...], first: int, chunk: int) -> Iterator[tuple[int, str]]:
    """(index, text) of each event when it carries `chunk` tokens, counted from `first`."""
    chunk = max(chunk, 1)
    for at in range(0, len(pieces), chunk):
        yield first + at, "".join(pieces[at : at + chunk])


def unique(prefix: str, length: int = 24) -> str:
    """A fresh id of `length` characters after the prefix."""
    return prefix + secrets.token_hex(length)[:length]


def data_size(encoded: str) -> int:
    """Bytes in base64 text, without decoding it."""
    return len(encoded.rstrip("=\n ")) * 3 // 4


def linked_image(url: str) -> Image:
    """An image given by URL: inline data or a link."""
    if url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return Image(head.split(";")[0][:100] or "image/png", data_size(data))
    return Image(mimetypes.guess_type(url.split("?")[0])[0] or "image/*", None)


def vector(text: str, size: int) -> list[float]:
    """A unit vector that depends on the text only."""
    chance = random.Random(text)
    values = [chance.uniform(-1, 1) for _ in range(size)]
    length = sum(v * v for v in values) ** 0.5 or 1.0
    return [round(v / length, 8) for v in values]
