"""The neutral request and answer: what all three dialects are translated into and out of."""

from dataclasses import dataclass

from benchmarks.simulator.shapes import Json, dumps


@dataclass(frozen=True, slots=True)
class Image:
    """An image part: its media type and decoded size; a linked image has no known size."""

    media_type: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, with an id by which its result finds it."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the history. Role is user, assistant or tool (text is then the result)."""

    role: str
    text: str = ""
    images: tuple[Image, ...] = ()
    calls: tuple[Call, ...] = ()
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool on offer and the JSON schema of its arguments."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True, slots=True)
class Prompt:
    """A generation request. `tool_choice` is auto, none, required, or `=` and a tool's name."""

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel: bool = True
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    wants_json: bool = False
    schema: Json | None = None
    thinking: bool = False
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A run of tokens in an answer: text, or the arguments of a call when `call` is set."""

    pieces: tuple[str, ...]
    call: Call | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def is_complete(self) -> bool:
        """Whether the arguments of the call were not cut off by a token limit."""
        return self.call is not None and self.text == dumps(self.call.arguments)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, why it ends, and what it counts.

    Finish is stop, stop_sequence, length, tool_calls or refusal. `output` is the number of
    pieces; cached tokens are part of `input`; reasoning tokens come on top of `output`.
    """

    parts: tuple[Part, ...]
    finish: str
    input: int
    cached: int = 0
    reasoning: int = 0
    stop_sequence: str | None = None

    @property
    def output(self) -> int:
        return sum(len(part.pieces) for part in self.parts)

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if part.call is None)

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(part.call for part in self.parts if part.call is not None)
