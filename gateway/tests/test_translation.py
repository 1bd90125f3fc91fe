"""Requests in the neutral vocabulary: what is read, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import BadBody, Untranslatable
from gateway.translation.from_anthropic import read_anthropic_request
from gateway.translation.from_google import json_schema, read_google_request
from gateway.translation.from_openai import read_openai_request
from providers.vocabulary import Image, Message, Text, Tool, ToolCall, ToolResult

PIXEL = "iVBORw0KGgo="
READERS = [read_openai_request, read_anthropic_request, read_google_request]
ASK = {"messages": [{"role": "user", "content": "hi"}]}
NAMES = [
    "messages", "contents", "role", "content", "parts", "text", "type", "tools", "function", "name",
    "tool_calls", "system", "systemInstruction", "generationConfig", "stop", "tool_choice",
    "response_format", "functionCall", "functionResponse", "thinking", "image_url", "source", "url",
]  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
words = st.sampled_from(["user", "assistant", "model", "tool", "text", "function", "tool_use"])
values = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(body=st.dictionaries(st.sampled_from(NAMES), values, max_size=5))
@pytest.mark.parametrize("read", READERS)
def test_whatever_is_sent_is_read_or_refused(read: Any, body: dict[str, Any]) -> None:
    try:
        request = read(body, "some-model")
    except (BadBody, Untranslatable) as error:
        assert str(error)
    else:
        assert all(isinstance(message, Message) for message in request.messages)


def test_a_round_of_tools_of_openais_becomes_two_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    request = read_openai_request({"messages": messages, "max_tokens": 9}, "m")

    assert (request.system, request.max_tokens) == ("Be brief.", 9)
    assert request.messages[1:] == [
        Message("assistant", (ToolCall("c1", "add", {"a": 1}),)),
        Message("user", (ToolResult("c1", "add", "2"),)),
    ]


def test_an_image_comes_along_from_each_dialect() -> None:
    image = Image("image/png", b"\x89PNG\r\n\x1a\n")
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    block = {"type": "image", "source": source}
    part = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}

    for request in (
        read_openai_request({"messages": [{"role": "user", "content": [url]}]}, "m"),
        read_anthropic_request({"messages": [{"role": "user", "content": [block]}]}, "m"),
        read_google_request({"contents": [{"role": "user", "parts": [part]}]}, "m"),
    ):
        assert request.messages == [Message("user", (image,))]


@pytest.mark.parametrize(
    ("read", "body", "field"),
    [
        (read_openai_request, {**ASK, "n": 2}, "n"),
        (read_openai_request, {**ASK, "logit_bias": {"1": 2}}, "logit_bias"),
        (read_openai_request, {**ASK, "audio": {"voice": "x"}}, "audio"),
        (read_anthropic_request, {**ASK, "top_k": 4}, "top_k"),
        (read_anthropic_request, {**ASK, "tools": [{"type": "web_search_1"}]}, "tools[0].type"),
        (read_google_request, {"safetySettings": [{"x": 1}]}, "safetySettings"),
        (read_google_request, {"tools": [{"googleSearch": {"x": 1}}]}, "tools[0].googleSearch"),
        (read_google_request, {"generationConfig": {"topK": 3}}, "generationConfig.topK"),
    ],
)
def test_what_has_no_word_is_refused_by_name(read: Any, body: Any, field: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        read(body, "m")

    assert f"The field {field} " in str(caught.value)


def test_an_image_somewhere_else_is_refused() -> None:
    url = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    with pytest.raises(Untranslatable, match="image_url"):
        read_openai_request({"messages": [{"role": "user", "content": [url]}]}, "m")


def test_googles_schemas_become_json_schemas() -> None:
    google = {
        "type": "OBJECT",
        "properties": {"list": {"type": "ARRAY", "items": {"type": "STRING", "nullable": True}}},
        "propertyOrdering": ["list"],
    }

    assert json_schema(google) == {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": ["string", "null"]}}},
    }


def test_results_of_gemini_find_their_call_by_name() -> None:
    call = {"functionCall": {"name": "add", "args": {"a": 1}}}
    result = {"functionResponse": {"name": "add", "response": {"output": "2"}}}
    contents = [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    asked, answered = read_google_request({"contents": contents}, "m").messages

    assert asked.parts == (ToolCall("call-0-0", "add", {"a": 1}),)
    assert answered.parts == (ToolResult("call-0-0", "add", "2"),)


def test_tools_and_choices_of_anthropics_are_read() -> None:
    body = {
        **ASK, "max_tokens": 5, "tools": [{"name": "add", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"}, "system": [{"type": "text", "text": "Be brief."}],
        "thinking": {"type": "enabled", "budget_tokens": 5000}, "metadata": {"user_id": "u"},
    }  # fmt: skip
    request = read_anthropic_request(body, "m")

    assert request.tools == (Tool("add", "", {"type": "object"}),)
    assert (request.tool_choice, request.reasoning_effort) == ("required", "medium")
    assert request.messages == [Message("user", (Text("hi"),))]
