"""What is particular about Anthropic's dialect, down to the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from providers.anthropic_request import DEFAULT_MAX_TOKENS
from providers.errors import BadAnswer, Overloaded, StreamBroken
from providers.tests.wire import Wire, ask, sse
from providers.vocabulary import (
    JSON,
    ChatResult,
    Delta,
    FinishReason,
    Image,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)

TOOL = Tool("look_up", "Looks a word up", {"type": "object", "properties": {}})
THOUGHT = {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "aGlk"}
CALL = {"type": "tool_use", "id": "c1", "name": "look_up", "input": {"word": "a"}}


def answer(*content: JSON, stop: str = "end_turn", **usage: Any) -> httpx2.Response:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-1",
        "content": list(content) or [{"type": "text", "text": "Hi"}],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2, **usage},
    }
    return httpx2.Response(200, json=body, headers={"request-id": "req_1"})


def start(**usage: Any) -> JSON:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-1"}
    counts = {"input_tokens": 5, "output_tokens": 1, **usage}
    rest: JSON = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": counts}
    return {"type": "message_start", "message": {**message, **rest}}


def begin(index: int, **block: Any) -> JSON:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, type: str, **fields: str) -> JSON:
    delta = {"type": type, **fields}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def end(stop: str = "end_turn", **usage: Any) -> tuple[JSON, JSON]:
    delta = {"stop_reason": stop, "stop_sequence": None}
    counts = {"output_tokens": 9, **usage}
    return {"type": "message_delta", "delta": delta, "usage": counts}, {"type": "message_stop"}


async def streamed(*events: JSON) -> list[Delta | ChatResult]:
    reply = sse(*events, named=True)
    return [step async for step in Wire(reply).client("anthropic").stream(ask())]


async def test_every_field_of_a_request_has_its_place() -> None:
    wire = Wire(answer())
    history = (
        Message("user", (Text("See:"), Image("image/png", b"\x89PNG"))),
        Message("assistant", (Text("Hm."), ToolCall("c1", "look_up", {"word": "a"}))),
        Message("user", (Text("go on"), ToolResult("c1", "look_up", "oops", is_error=True))),
    )
    request = ask(
        system="Be brief.",
        tools=(TOOL,),
        tool_choice="look_up",
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("x",),
        reasoning_effort="medium",
        response_schema={"type": "object"},
        extra={"metadata": {"user_id": "u1"}, "top_p": 1},
        headers={"anthropic-beta": "some-beta"},
    )
    await wire.client("anthropic").complete(replace(request, messages=history))
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "oops", "is_error": True}
    assert wire.sent == {
        "model": "some-model",
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "See:"}, {"type": "image", "source": image}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Hm."}, CALL]},
            {"role": "user", "content": [result, {"type": "text", "text": "go on"}]},
        ],
        "tools": [
            {
                "name": "look_up",
                "description": "Looks a word up",
                "input_schema": {"type": "object", "properties": {}},
            }
        ],
        "tool_choice": {"type": "tool", "name": "look_up"},
        "stop_sequences": ["x"],
        "output_config": {
            "effort": "medium",
            "format": {"type": "json_schema", "schema": {"type": "object"}},
        },
        "temperature": 0.0,
        "top_p": 1,
        "metadata": {"user_id": "u1"},
    }
    assert wire.requests[0].headers["anthropic-beta"] == "some-beta"


async def test_what_is_not_given_is_not_sent_but_for_the_limit_the_api_insists_on() -> None:
    wire = Wire(answer())
    await wire.client("anthropic").complete(ask())
    assert wire.sent == {
        "model": "some-model",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", {"type": "auto"}), ("none", {"type": "none"}), ("required", {"type": "any"})],
)
async def test_the_choice_of_tools_is_translated(choice: str, sent: JSON) -> None:
    wire = Wire(answer())
    await wire.client("anthropic").complete(ask(tools=(TOOL,), tool_choice=choice))
    assert wire.sent["tool_choice"] == sent


async def test_cache_tokens_are_added_to_the_input() -> None:
    reply = answer(
        cache_read_input_tokens=3,
        cache_creation_input_tokens=4,
        output_tokens_details={"thinking_tokens": 1},
    )
    result = await Wire(reply).client("anthropic").complete(ask())
    assert result.usage == Usage(12, 2, 3, 4, 1)
    assert result.request_id == "req_1"


async def test_what_is_kept_for_an_hour_and_the_speed_are_noted() -> None:
    reply = answer(
        cache_creation_input_tokens=4,
        cache_creation={"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3},
        speed="fast",
    )
    result = await Wire(reply).client("anthropic").complete(ask())
    assert result.usage == Usage(9, 2, 0, 4, cache_write_1h_tokens=3, service_tier="fast")


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.REFUSED),
        ("pause_turn", FinishReason.OTHER),
    ],
)
async def test_finish_reasons_are_translated(stop: str, reason: FinishReason) -> None:
    result = await Wire(answer(stop=stop)).client("anthropic").complete(ask())
    assert result.finish_reason is reason


async def test_signed_thinking_goes_back_unchanged_before_its_call() -> None:
    wire = Wire(answer(THOUGHT, HIDDEN, CALL, {**CALL, "id": "c2"}, stop="tool_use"))
    result = await wire.client("anthropic").complete(ask())
    assert result.reasoning == "Let me see."
    assert [call.opaque is None for call in result.tool_calls] == [False, True]
    history = (Message.user("Hello"), result.as_message())
    await wire.client("anthropic").complete(replace(ask(), messages=history))
    assert wire.sent["messages"][1]["content"] == [THOUGHT, HIDDEN, CALL, {**CALL, "id": "c2"}]


async def test_a_stream_tells_usage_first_and_thinks_aloud() -> None:
    steps = await streamed(
        start(cache_read_input_tokens=3),
        {"type": "ping"},
        begin(0, type="thinking", thinking="", signature=""),
        piece(0, "thinking_delta", thinking="Let me "),
        piece(0, "thinking_delta", thinking="see."),
        piece(0, "signature_delta", signature="c2ln"),
        begin(1, type="text", text=""),
        piece(1, "text_delta", text="Hel"),
        piece(1, "text_delta", text="lo"),
        begin(2, type="tool_use", id="c1", name="look_up", input={}),
        piece(2, "input_json_delta", partial_json=""),
        piece(2, "input_json_delta", partial_json='{"word": '),
        piece(2, "input_json_delta", partial_json='"a"}'),
        begin(3, type="tool_use", id="c2", name="no_arguments", input={}),
        *end("tool_use"),
    )
    calls = (
        ToolCall("c1", "look_up", {"word": "a"}, opaque=json.dumps([THOUGHT])),
        ToolCall("c2", "no_arguments", {}),
    )
    usage = Usage(8, 9, cache_read_tokens=3)
    assert steps == [
        Delta(usage=Usage(8, 1, cache_read_tokens=3)),
        Delta(reasoning="Let me "),
        Delta(reasoning="see."),
        Delta("Hel"),
        Delta("lo"),
        Delta(usage=usage),
        ChatResult(
            "Hello",
            calls,
            FinishReason.TOOL_CALLS,
            usage,
            "claude-x-1",
            reasoning="Let me see.",
        ),
    ]


async def test_later_counts_replace_earlier_ones() -> None:
    *_, result = await streamed(
        start(cache_read_input_tokens=3),
        begin(0, type="text", text="Hi"),
        *end(input_tokens=6, cache_read_input_tokens=1, cache_creation_input_tokens=2),
    )
    assert isinstance(result, ChatResult)
    assert (result.usage, result.text) == (Usage(9, 9, 1, 2), "Hi")


async def test_a_stream_without_its_end_is_broken() -> None:
    last, _ = end()
    with pytest.raises(StreamBroken):
        await streamed(start(), begin(0, type="text", text=""), last)


async def test_arguments_cut_off_never_reach_a_tool() -> None:
    cut = piece(0, "input_json_delta", partial_json='{"word')
    with pytest.raises(BadAnswer):
        await streamed(start(), begin(0, type="tool_use", id="c", name="f", input={}), cut, *end())


async def test_an_error_inside_a_stream_is_translated() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    with pytest.raises(Overloaded) as caught:
        await streamed(start(), {"type": "error", "error": error})
    assert caught.value.detail == "Overloaded"


async def test_a_web_page_is_no_answer() -> None:
    page = httpx2.Response(200, text="<html></html>", headers={"content-type": "text/html"})
    client = Wire(page).client("anthropic")
    for call in (client.complete(ask()), client.models()):
        with pytest.raises(BadAnswer):
            await call
    with pytest.raises(BadAnswer):
        await anext(client.stream(ask()))
