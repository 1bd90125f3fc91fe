"""What is particular about OpenAI's dialect, down to the bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

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
HISTORY = (
    Message("user", (Text("See:"), Image("image/png", b"\x89PNG"))),
    Message("assistant", (Text("Hm."), ToolCall("c1", "look_up", {"word": "é"}))),
    Message("user", (Text("go on"), ToolResult("c1", "look_up", "found"))),
)


def answer(message: JSON | None = None, finish: str = "stop", **fields: Any) -> httpx2.Response:
    choice = {"index": 0, "finish_reason": finish, "message": message or {"content": "Hi"}}
    body = {"id": "x", "object": "chat.completion", "model": "m-1", "choices": [choice], **fields}
    return httpx2.Response(200, json=body)


def chunk(delta: JSON | None = None, finish: str | None = None, **fields: Any) -> JSON:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "x",
        "object": "chat.completion.chunk",
        "model": "m-1",
        "choices": choices,
    } | fields


def fragment(index: int | None, id: str | None, name: str | None, arguments: str) -> JSON:
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call]}


def usage(prompt: int, completion: int, total: int, **details: JSON) -> JSON:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    return {**counts, **details}


async def streamed(*events: JSON | str) -> list[Delta | ChatResult]:
    return [step async for step in Wire(sse(*events)).client("openai").stream(ask())]


async def test_every_field_of_a_request_has_its_place() -> None:
    wire = Wire(answer())
    request = ask(
        system="Be brief.",
        tools=(TOOL,),
        tool_choice="look_up",
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("x",),
        seed=0,
        reasoning_effort="minimal",
        response_schema={"type": "string"},
        extra={"user": "u1", "temperature": 1},
        headers={"X-Note": "1"},
    )
    await wire.client("openai").complete(replace(request, messages=HISTORY))
    assert wire.sent == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "See:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                ],
            },
            {
                "role": "assistant",
                "content": "Hm.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "look_up", "arguments": '{"word": "\\u00e9"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "user", "content": "go on"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look_up",
                    "description": "Looks a word up",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        "temperature": 1,
        "top_p": 0.5,
        "max_completion_tokens": 9,
        "stop": ["x"],
        "seed": 0,
        "reasoning_effort": "minimal",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "string"}, "strict": True},
        },
        "user": "u1",
    }
    assert wire.requests[0].headers["x-note"] == "1"


async def test_zero_is_a_value_and_what_is_not_given_is_not_sent() -> None:
    wire = Wire(answer())
    await wire.client("openai").complete(ask(temperature=0.0))
    assert wire.sent == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.0,
    }


async def test_compatible_servers_get_the_older_name_for_max_tokens() -> None:
    wire = Wire(answer())
    await wire.client("openai_compatible").complete(ask(max_tokens=9))
    assert wire.sent["max_tokens"] == 9 and "max_completion_tokens" not in wire.sent


async def test_streams_ask_for_usage() -> None:
    wire = Wire(sse(chunk({"content": "Hi"}, "stop"), "[DONE]"))
    assert [step async for step in wire.client("openai").stream(ask())]
    assert wire.sent["stream"] is True
    assert wire.sent["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {}}, False),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
            False,
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "object"}}},
                "required": ["a"],
                "additionalProperties": False,
            },
            False,
        ),
    ],
)
async def test_strict_mode_is_asked_for_where_the_schema_allows_it(
    schema: JSON, strict: bool
) -> None:
    wire = Wire(answer())
    await wire.client("openai").complete(ask(response_schema=schema))
    assert wire.sent["response_format"]["json_schema"]["strict"] is strict


@pytest.mark.parametrize(
    ("wire_usage", "expected"),
    [
        (usage(10, 5, 15), Usage(10, 5)),
        (
            usage(
                10,
                5,
                15,
                prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 2},
                completion_tokens_details={"reasoning_tokens": 3},
            ),
            Usage(10, 5, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=3),
        ),
        (usage(10, 5, 22), Usage(10, 12, reasoning_tokens=7)),
        (
            usage(10, 5, 22, completion_tokens_details={"reasoning_tokens": 7}),
            Usage(10, 12, reasoning_tokens=7),
        ),
        (usage(10, 5, 0), Usage(10, 5)),
        (None, None),
    ],
)
async def test_usage_is_normalised(wire_usage: JSON | None, expected: Usage | None) -> None:
    """Tokens of the total that are in neither part were hidden thinking."""
    result = await Wire(answer(usage=wire_usage)).client("openai").complete(ask())
    assert result.usage == expected


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.REFUSED),
        ("eos_token", FinishReason.OTHER),
    ],
)
async def test_finish_reasons_are_translated(finish: str, reason: FinishReason) -> None:
    result = await Wire(answer(finish=finish)).client("openai").complete(ask())
    assert result.finish_reason is reason


async def test_calls_end_an_answer_even_where_the_server_says_stop() -> None:
    call = {"id": "c1", "function": {"name": "look_up", "arguments": ""}}
    result = await Wire(answer({"tool_calls": [call]})).client("openai").complete(ask())
    assert result.tool_calls == (ToolCall("c1", "look_up", {}),)
    assert result.finish_reason is FinishReason.TOOL_CALLS


async def test_a_refusal_in_words_is_the_text() -> None:
    reply = answer({"content": None, "refusal": "I can't help with that."})
    assert (await Wire(reply).client("openai").complete(ask())).text == "I can't help with that."


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_visible_reasoning_of_other_servers_is_kept_apart(name: str) -> None:
    result = await Wire(answer({"content": "4", name: "2+2"})).client("openai").complete(ask())
    assert (result.text, result.reasoning) == ("4", "2+2")
    *deltas, end = await streamed(chunk({name: "2+2"}), chunk({"content": "4"}, "stop"), "[DONE]")
    assert deltas == [Delta(reasoning="2+2"), Delta("4")]
    assert isinstance(end, ChatResult) and end.reasoning == "2+2"


@pytest.mark.parametrize("arguments", ['{"word": "cut of', "[1]", '"text"'])
async def test_arguments_that_are_no_object_never_reach_a_tool(arguments: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(BadAnswer):
        await Wire(answer({"tool_calls": [call]})).client("openai").complete(ask())


async def test_a_stream_yields_text_and_usage_and_nothing_for_empty_chunks() -> None:
    steps = await streamed(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        chunk(usage=usage(3, 2, 5)),
        "[DONE]",
    )
    assert steps == [
        Delta("Hel"),
        Delta("lo"),
        Delta(usage=Usage(3, 2)),
        ChatResult("Hello", (), FinishReason.STOP, Usage(3, 2), "m-1"),
    ]


async def test_fragments_of_parallel_calls_are_put_together() -> None:
    (result,) = await streamed(
        chunk(fragment(0, "c1", "first", "")),
        chunk(fragment(1, "c2", "second", '{"b"')),
        chunk(fragment(0, None, None, '{"a": ')),
        chunk(fragment(1, None, None, ": 2}")),
        chunk(fragment(0, None, None, "1}")),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    assert isinstance(result, ChatResult)
    assert result.tool_calls == (
        ToolCall("c1", "first", {"a": 1}),
        ToolCall("c2", "second", {"b": 2}),
    )


async def test_whole_calls_without_an_index_are_calls_of_their_own() -> None:
    (result,) = await streamed(
        chunk(fragment(None, "c1", "f", "{}")),
        chunk(fragment(None, "c2", "f", "{}")),
        chunk({}, "tool_calls"),
        "[DONE]",
    )
    assert isinstance(result, ChatResult)
    assert [call.id for call in result.tool_calls] == ["c1", "c2"]


async def test_a_stream_without_an_end_is_broken() -> None:
    with pytest.raises(StreamBroken):
        await streamed(chunk({"role": "assistant"}), chunk({"content": "Hel"}))


@pytest.mark.parametrize("events", [(), ("<html>",), ("[DONE]",)])
async def test_a_stream_of_nothing_is_no_answer(events: tuple[str, ...]) -> None:
    with pytest.raises(BadAnswer):
        await streamed(*events)


async def test_an_error_inside_a_stream_is_translated() -> None:
    error = {"error": {"message": "Try later", "type": "server_error", "code": None}}
    with pytest.raises(Overloaded, match="Try later"):
        await streamed(chunk({"content": "Hel"}), error)


async def test_a_web_page_is_no_answer() -> None:
    page = httpx2.Response(200, text="<html></html>", headers={"content-type": "text/html"})
    client = Wire(page).client("openai")
    for call in (client.complete(ask()), client.models()):
        with pytest.raises(BadAnswer):
            await call
    with pytest.raises(BadAnswer):
        await anext(client.stream(ask()))
