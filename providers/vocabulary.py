"""The neutral vocabulary: what a chat call is, whatever the provider's dialect.

Adapters translate between these values and one provider's wire format; nothing else in
the project knows a provider's field names. All values are frozen, so that they may travel
between tasks and threads.

Tokens are integers. `Usage.input_tokens` *includes* cached tokens and
`Usage.output_tokens` *includes* reasoning tokens, whatever the provider does on the wire:
one convention, so that prices and sums are the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

JSON = dict[str, Any]


class FinishReason(StrEnum):
    """Why the model stopped. `OTHER` covers reasons that only one provider has."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    REFUSED = "refused"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image given inline. `data` are the raw bytes, not base64."""

    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `arguments` is the parsed JSON object.

    `opaque` is what the provider wants back unread with the history (Gemini's thought
    signature as base64, Anthropic's signed thinking blocks as JSON); None where there is
    nothing of the kind.
    """

    id: str
    name: str
    arguments: JSON
    opaque: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    name: str
    content: str
    is_error: bool = False


Part = Text | Image | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation.

    `user` holds Text, Image and ToolResult parts; `assistant` holds Text and ToolCall
    parts. System text is not a message: it is `ChatRequest.system`.
    """

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]

    @classmethod
    def user(cls, text: str) -> Message:
        return cls("user", (Text(text),))

    @classmethod
    def assistant(cls, text: str) -> Message:
        return cls("assistant", (Text(text),))

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `schema` is the JSON Schema of its arguments object."""

    name: str
    description: str
    schema: JSON


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call. `None` and empty mean "the provider's default".

    `tool_choice` is "auto", "none", "required" or the name of one tool.
    `response_schema` asks for an answer that is an instance of that JSON Schema.
    `extra` goes into the provider's request body as it is, for anything this vocabulary
    has no word for; it wins over the fields above.
    """

    model: str
    messages: Sequence[Message]
    system: str = ""
    tools: Sequence[Tool] = ()
    tool_choice: str = "auto"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    response_schema: JSON | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Usage(NamedTuple):  # a call makes several: a frozen dataclass takes twice as long
    """Tokens as the provider reported them. Input includes both kinds of cache tokens.

    `cache_write_1h_tokens` are those of `cache_write_tokens` that are kept for an hour, which is
    dearer. `service_tier` is empty for the usual one (`tier_of`).
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_1h_tokens: int = 0
    service_tier: str = ""

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


_USUAL_TIERS = {"", "auto", "default", "standard", "unspecified"}
_TIER = re.compile(r"[a-z0-9_-]{1,16}")


def tier_of(name: object) -> str:
    """What a provider calls the tier (or speed) that it served a call in, if that is not the usual
    one: `flex`, `priority`, `fast`. Calls cost less or more there."""
    tier = name.lower() if isinstance(name, str) else ""
    return tier if tier not in _USUAL_TIERS and _TIER.fullmatch(tier) else ""


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a stream: a piece of visible text, of reasoning, or news about usage.

    `usage` is set when the provider has told something before the end (Anthropic tells the
    input tokens first), so that a call that is cut off can still be settled.
    """

    text: str = ""
    reasoning: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ChatResult:
    """A finished answer.

    `usage` is None where the provider reported nothing (some OpenAI-compatible servers).
    `model` is the model that served, which may differ from the one asked for.
    `reasoning` is the visible part of the model's thinking, if any.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: Usage | None
    model: str
    request_id: str = ""
    reasoning: str = ""

    def as_message(self) -> Message:
        """The assistant's entry for the history."""
        text: tuple[Part, ...] = (Text(self.text),) if self.text else ()
        return Message("assistant", text + self.tool_calls)


class ProviderClient(Protocol):
    """Bound to one credential and one host. All methods raise `providers.errors.ProviderError`."""

    async def complete(self, request: ChatRequest) -> ChatResult:
        """The whole answer at once."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Delta | ChatResult, None]:
        """Deltas as they come, then exactly one `ChatResult`, last.

        `aclose()` closes the connection to the provider; a caller that may stop early holds the
        stream in `contextlib.aclosing`.
        """
        ...

    async def models(self) -> list[str]:
        """Names of the models this key reaches, sorted. Free of charge at every provider."""
        ...
