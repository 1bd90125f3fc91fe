"""A neutral request in Gemini's dialect.

Wire: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from google.genai import types

from providers.vocabulary import ChatRequest, Image, Message, Part, Text, ToolCall, ToolResult

# Ids of calls that Gemini gave none; these never go back to it.
OWN_ID = "byom-call-"

# Gemini 2.5 counts thinking in tokens, later models name a level. The numbers are Google's own:
# https://ai.google.dev/gemini-api/docs/openai#thinking
_THINKING_TOKENS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}

_MODES = {
    "auto": types.FunctionCallingConfigMode.AUTO,
    "none": types.FunctionCallingConfigMode.NONE,
    "required": types.FunctionCallingConfigMode.ANY,
}


def write_request(request: ChatRequest) -> dict[str, Any]:
    """The SDK's arguments. Raises pydantic's ValidationError."""
    return {
        "model": request.model,
        "contents": _contents(request.messages),
        "config": types.GenerateContentConfig(
            http_options=types.HttpOptions(
                headers=dict(request.headers), extra_body=dict(request.extra) or None
            ),
            # Both would make the SDK send calls that nobody asked for.
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            automatic_continuation=False,
            system_instruction=request.system or None,
            temperature=request.temperature,
            top_p=request.top_p,
            max_output_tokens=request.max_tokens,
            stop_sequences=list(request.stop) or None,
            seed=request.seed,
            thinking_config=_thinking(request),
            response_mime_type=None if request.response_schema is None else "application/json",
            response_json_schema=request.response_schema,
            **_tools(request),
        ),
    }


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    declarations = [
        types.FunctionDeclaration(
            name=tool.name, description=tool.description, parameters_json_schema=tool.schema
        )
        for tool in request.tools
    ]
    choice = request.tool_choice
    calling = types.FunctionCallingConfig(
        mode=_MODES.get(choice, types.FunctionCallingConfigMode.ANY),
        allowed_function_names=None if choice in _MODES else [choice],
    )
    return {
        "tools": [types.Tool(function_declarations=declarations)],
        "tool_config": types.ToolConfig(function_calling_config=calling),
    }


def _thinking(request: ChatRequest) -> types.ThinkingConfig | None:
    effort = request.reasoning_effort
    if effort is None:
        return None
    if request.model.removeprefix("models/").startswith("gemini-2.5"):
        return types.ThinkingConfig(include_thoughts=True, thinking_budget=_THINKING_TOKENS[effort])
    return types.ThinkingConfig(
        include_thoughts=True, thinking_level=types.ThinkingLevel(effort.upper())
    )


def _contents(messages: Sequence[Message]) -> list[types.Content]:
    """Gemini wants roles to alternate: neighbours of the same role become one."""
    contents: list[types.Content] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        parts = [_part(part) for part in message.parts]
        if contents and contents[-1].role == role:
            contents[-1].parts = [*(contents[-1].parts or ()), *parts]
        else:
            contents.append(types.Content(role=role, parts=parts))
    return contents


def _part(part: Part) -> types.Part:
    match part:
        case Text(text):
            return types.Part(text=text)
        case Image(media_type, data):
            return types.Part(inline_data=types.Blob(mime_type=media_type, data=data))
        case ToolCall(id, name, arguments, opaque):
            call = types.FunctionCall(id=_their_id(id), name=name, args=arguments)
            signature = base64.b64decode(opaque) if opaque else None
            return types.Part(function_call=call, thought_signature=signature)
        case ToolResult(call_id, name, content, is_error):
            said = {"error" if is_error else "output": content}
            result = types.FunctionResponse(id=_their_id(call_id), name=name, response=said)
            return types.Part(function_response=result)


def _their_id(id: str) -> str | None:
    return None if id.startswith(OWN_ID) else id
