"""Any JSON object as a request: it is read or refused with a sentence, and never our mistake.

The names of fields are those of the three dialects, so that the shapes go deep.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.asked import asking_for_usage, naming, naming_inside, prompt_characters, read_request
from gateway.errors import GatewayError
from gateway.routes import route
from gateway.translation.from_anthropic import read_anthropic_request
from gateway.translation.from_google import read_google_request
from gateway.translation.from_openai import read_openai_request
from usage.ceiling import ceiling

FIELDS = """
    model messages role content text type name id tools function parameters description
    tool_calls arguments tool_call_id tool_choice image_url url detail stream stream_options
    include_usage stop max_tokens max_completion_tokens temperature top_p seed n
    response_format json_schema schema strict reasoning_effort system input_schema tool_use_id
    input source media_type data thinking budget_tokens stop_sequences output_config format
    contents parts inlineData mimeType functionCall functionResponse functionDeclarations
    generationConfig maxOutputTokens responseSchema responseMimeType systemInstruction
    toolConfig functionCallingConfig mode allowedFunctionNames thinkingConfig properties items
    anyOf candidateCount requests args response is_error
"""
NAMES = FIELDS.split()
WORDS = [
    "user", "assistant", "model", "tool", "system", "text", "image", "image_url", "tool_use",
    "tool_result", "function", "json_schema", "auto", "any", "none", "AUTO", "ANY", "OBJECT",
    "base64", "image/png", "data:image/png;base64,aGk=", "{}", "[", "call-1", "weather",
    "application/json", "high", "",
]  # fmt: skip
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text()
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
MANY = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def shaped(body: dict[str, Any], key: str, listed: Any) -> dict[str, Any]:
    """With the list that a conversation stands in, more often than chance would have it."""
    return {**body, key: listed}


@pytest.mark.parametrize(
    ("read", "key"),
    [
        (read_openai_request, "messages"),
        (read_anthropic_request, "messages"),
        (read_google_request, "contents"),
    ],
)
@given(body=BODIES, said=st.lists(BODIES, max_size=3))
@MANY
def test_any_object_is_translated_or_refused(
    read: Any, key: str, body: dict[str, Any], said: list[Any]
) -> None:
    for asked in (body, shaped(body, key, said)):
        try:
            read(asked, "some-model")
        except GatewayError as error:
            assert str(error)


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/messages", "/v1beta/models/gemini-2.5-flash:generateContent"],
)
@given(body=BODIES)
@MANY
def test_any_object_is_passed_on_or_refused(path: str, body: dict[str, Any]) -> None:
    where = route("POST", path)
    raw = json.dumps({"model": "some-model", **body}).encode()
    try:
        asked = read_request(where, raw)
    except GatewayError as error:
        assert str(error)
        return
    ceiling(asked.parsed)
    assert prompt_characters(asked.body) >= 0
    renamed = (naming_inside if where.model else naming)(asking_for_usage(asked), "other")
    assert isinstance(json.loads(renamed.body), dict)
