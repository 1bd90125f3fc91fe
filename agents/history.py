"""What of a session goes into the next call, where not all of it fits into the model's window.

The rule: instructions and goal always stay. Whole exchanges (a message of the person and all
that followed from it, so that a tool's result never loses its call) are dropped, the oldest
first, until the rest fits into what the window leaves beside the answer. The last exchange
always stays: if it does not fit alone, the provider's answer says so.

Tokens are estimated, three characters each, so as to err on the safe side.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.models import AgentSession
from providers.vocabulary import ChatRequest, Image, Message, Part, Text, Tool, ToolCall, ToolResult
from usage.windows import context_window

UNKNOWN_WINDOW = 32_000  # tokens, for models that nobody has told us about
ANSWER_TOKENS = 4_096  # kept free for the answer where the session sets no max_tokens
IMAGE_TOKENS = 1_600
CHARACTERS_PER_TOKEN = 3
NOT_RUN = "This call was not finished: the turn was stopped before."


def next_request(
    session: AgentSession,
    *,
    provider: str,
    model: str,
    defaults: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    tools: Sequence[Tool] = (),
) -> ChatRequest:
    """The session's next call. `params`, those of the message, win over the session's, and these
    over `defaults`, those of the credential."""
    params = {**defaults, **session.params, **(params or {})}
    rows = session.messages.for_model()
    messages = answered([row.neutral(provider) for row in rows])
    window = context_window(provider, model) or UNKNOWN_WINDOW
    answer = min(params.get("max_tokens") or ANSWER_TOKENS, window // 2)
    room = window - answer - _tokens(session.system_text) - sum(map(_tool_tokens, tools))
    return ChatRequest(
        model=model,
        messages=cut(messages, room),
        system=session.system_text,
        tools=tuple(tools),
        **params,
    )


def cut(messages: Sequence[Message], room: int) -> list[Message]:
    """The latest exchanges that fit into `room` tokens; at least the last one."""
    kept: list[list[Message]] = []
    for exchange in reversed(exchanges(messages)):
        room -= sum(map(_message_tokens, exchange))
        if room < 0 and kept:
            break
        kept.append(exchange)
    return [message for exchange in reversed(kept) for message in exchange]


def exchanges(messages: Iterable[Message]) -> list[list[Message]]:
    """Messages by exchange: each begins with something that the person said."""
    found: list[list[Message]] = []
    for message in messages:
        is_result = any(isinstance(part, ToolResult) for part in message.parts)
        if not found or (message.role == "user" and not is_result):
            found.append([])
        found[-1].append(message)
    return found


def answered(messages: Sequence[Message]) -> list[Message]:
    """With a result for every tool call: one whose turn was broken off has none, and providers
    refuse a history like that."""
    whole: list[Message] = []
    for message, after in zip(messages, [*messages[1:], None], strict=True):
        whole.append(message)
        results = (
            {part.call_id for part in after.parts if isinstance(part, ToolResult)}
            if after
            else set()
        )
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        missing = [call for call in calls if call.id not in results]
        if missing:
            whole.append(Message("user", tuple(map(_not_run, missing))))
    return whole


def _not_run(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, NOT_RUN, is_error=True)


def _message_tokens(message: Message) -> int:
    return 4 + sum(map(_part_tokens, message.parts))


def _part_tokens(part: Part) -> int:
    match part:
        case Text(text):
            return _tokens(text)
        case Image():
            return IMAGE_TOKENS
        case ToolCall(_, name, arguments, opaque):
            return _tokens(name + json.dumps(arguments) + (opaque or ""))
        case ToolResult(_, name, content):
            return _tokens(name + content)


def _tool_tokens(tool: Tool) -> int:
    return _tokens(tool.name + tool.description + json.dumps(tool.schema))


def _tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
