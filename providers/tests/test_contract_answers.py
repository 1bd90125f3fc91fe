"""The contract, part 1: what every provider client answers, through SDK and HTTP."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from providers.capabilities import Capability
from providers.errors import Overloaded, Unsupported
from providers.tests.conftest import FAST, Subject
from providers.tests.wire import Wire, ask
from providers.vocabulary import (
    ChatRequest,
    ChatResult,
    Delta,
    FinishReason,
    Image,
    Message,
    Text,
    Tool,
    ToolResult,
)

both_ways = pytest.mark.parametrize("streaming", [False, True], ids=["complete", "stream"])
WEATHER = Tool(
    "get_weather",
    "Current weather of a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = Tool(
    "get_time",
    "Current time in a city",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
VALUES: dict[Capability, Any] = {Capability.SEED: 1, Capability.REASONING_EFFORT: "low"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["city", "inhabitants"],
    "additionalProperties": False,
}


async def collect(subject: Subject, request: ChatRequest) -> tuple[list[Delta], ChatResult]:
    *deltas, result = [step async for step in subject.client().stream(request)]
    assert isinstance(result, ChatResult)
    return [delta for delta in deltas if isinstance(delta, Delta)], result


async def answer(subject: Subject, request: ChatRequest, streaming: bool) -> ChatResult:
    """Whole or streamed: the same in the end."""
    if streaming:
        return (await collect(subject, request))[1]
    return await subject.client().complete(request)


def png() -> bytes:
    """One black pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")


@pytest.mark.contract("complete")
async def test_it_completes(subject: Subject) -> None:
    result = await subject.client().complete(subject.ask())
    assert "Paris" in result.text
    assert result.finish_reason is FinishReason.STOP
    assert result.tool_calls == ()
    assert result.model.startswith(subject.model)
    assert result.usage and result.usage.input_tokens > 0 and result.usage.output_tokens > 0


@pytest.mark.contract("request id")
async def test_it_names_the_providers_request(subject: Subject) -> None:
    _, streamed = await collect(subject, subject.ask())
    assert streamed.request_id
    assert (await subject.client().complete(subject.ask())).request_id


@pytest.mark.contract("stream")
async def test_a_stream_says_what_a_completion_says(subject: Subject) -> None:
    deltas, streamed = await collect(subject, subject.ask())
    whole = await subject.client().complete(subject.ask())
    assert "".join(delta.text for delta in deltas) == streamed.text == whole.text
    assert (streamed.usage, streamed.model) == (whole.usage, whole.model)
    assert streamed.finish_reason is whole.finish_reason


@pytest.mark.contract("stream")
async def test_a_stream_arrives_in_pieces_of_which_none_is_empty(subject: Subject) -> None:
    deltas, _ = await collect(subject, subject.ask())
    assert sum(bool(delta.text) for delta in deltas) > 2
    assert all(delta.text or delta.reasoning or delta.usage for delta in deltas)


@pytest.mark.contract("system text")
@both_ways
async def test_system_text_reaches_the_model(subject: Subject, streaming: bool) -> None:
    plain = await answer(subject, subject.ask(), streaming)
    told = await answer(subject, subject.ask(system="Speak like a pirate. " * 10), streaming)
    assert plain.usage and told.usage
    assert told.usage.input_tokens > plain.usage.input_tokens + 20


@pytest.mark.contract("several turns")
@both_ways
async def test_earlier_turns_reach_the_model(subject: Subject, streaming: bool) -> None:
    first = subject.ask("My name is Ada and I collect very old typewriters.")
    before = (*first.messages, (await answer(subject, first, streaming)).as_message())
    history = (*before, Message.user("What is my name?"))
    short = await answer(subject, subject.ask("What is my name?"), streaming)
    whole = await answer(subject, subject.ask(messages=history), streaming)
    assert short.usage and whole.usage
    assert whole.usage.input_tokens > short.usage.input_tokens + 10


@pytest.mark.contract("parameters")
async def test_parameters_are_accepted(subject: Subject) -> None:
    request = subject.ask(temperature=0.5, top_p=0.9, max_tokens=100, stop=("zebra",))
    if Capability.SEED in subject.row.capabilities:
        request = replace(request, seed=7)
    if Capability.REASONING_EFFORT in subject.row.capabilities:
        request = replace(request, reasoning_effort="low", temperature=None, top_p=None)
    assert "Paris" in (await subject.client().complete(request)).text


@pytest.mark.contract("parameters")
async def test_what_we_have_no_word_for_goes_along_as_it_is(subject: Subject) -> None:
    wire = Wire(httpx2.Response(500, json={}))
    with pytest.raises(Overloaded):
        await wire.client(subject.provider).complete(ask(extra={"vendors_own": [7]}))
    assert wire.sent["vendors_own"] == [7]


@pytest.mark.contract("what it lacks, said before")
async def test_what_a_provider_lacks_is_refused_before_anything_is_sent(subject: Subject) -> None:
    key = subject.key()
    for lack in set(Capability) - subject.row.capabilities:
        request = subject.ask(**{lack.value: VALUES[lack]})
        with pytest.raises(Unsupported, match=lack.value):
            await subject.client(key).complete(request)
        with pytest.raises(Unsupported, match=lack.value):
            await anext(subject.client(key).stream(request))
    assert subject.calls_of(key) == []


@pytest.mark.contract("finish reasons")
async def test_an_answer_ends_at_max_tokens(subject: Subject) -> None:
    deltas, result = await collect(subject, subject.ask(max_tokens=3))
    assert result.finish_reason is FinishReason.LENGTH
    assert result.usage and result.usage.output_tokens == 3


@pytest.mark.contract("finish reasons")
async def test_an_answer_ends_at_a_stop_sequence(subject: Subject) -> None:
    result = await subject.client().complete(subject.ask(stop=(" capital",)))
    assert "Paris" in result.text and "capital" not in result.text
    assert result.finish_reason is FinishReason.STOP


@pytest.mark.contract("finish reasons")
async def test_a_refusal_is_told_by_the_finish_reason(subject: Subject) -> None:
    request = subject.ask(headers={**FAST, "x-sim-fault": "refuse"})
    _, streamed = await collect(subject, request)
    assert streamed.finish_reason is FinishReason.REFUSED
    whole = await subject.client().complete(request)
    assert whole.finish_reason is FinishReason.REFUSED


@pytest.mark.contract("tools")
@both_ways
async def test_it_calls_a_tool(subject: Subject, streaming: bool) -> None:
    request = subject.ask("Use get_weather for Paris.", tools=(WEATHER,))
    result = await answer(subject, request, streaming)
    (call,) = result.tool_calls
    assert (call.name, list(call.arguments)) == ("get_weather", ["city"])
    assert call.id
    assert result.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.contract("tools, in parallel")
@both_ways
async def test_it_calls_two_tools_at_once(subject: Subject, streaming: bool) -> None:
    request = subject.ask("Use get_weather and get_time for Paris.", tools=(WEATHER, CLOCK))
    result = await answer(subject, request, streaming)
    assert [call.name for call in result.tool_calls] == ["get_weather", "get_time"]
    assert len({call.id for call in result.tool_calls}) == 2
    assert all(call.arguments for call in result.tool_calls)


@pytest.mark.contract("tools, results")
@both_ways
async def test_results_of_tools_go_back_to_the_model(subject: Subject, streaming: bool) -> None:
    request = subject.ask("Use get_weather and get_time for Paris.", tools=(WEATHER, CLOCK))
    asked = await answer(subject, request, streaming)
    results = tuple(
        ToolResult(call.id, call.name, f"the answer of {call.name} is 4711")
        for call in asked.tool_calls
    )
    history = (*request.messages, asked.as_message(), Message("user", results))
    final = await answer(subject, replace(request, messages=history), streaming)
    assert "4711" in final.text
    assert final.tool_calls == ()


@pytest.mark.contract("tools, choice")
@pytest.mark.parametrize(
    ("choice", "called"),
    [("none", []), ("required", ["get_weather"]), ("get_time", ["get_time"])],
)
async def test_the_choice_of_tools_is_kept(
    subject: Subject, choice: str, called: list[str]
) -> None:
    request = subject.ask("Hello there", tools=(WEATHER, CLOCK), tool_choice=choice)
    result = await subject.client().complete(request)
    assert [call.name for call in result.tool_calls] == called


@pytest.mark.contract("schema")
@both_ways
async def test_an_answer_follows_a_schema(subject: Subject, streaming: bool) -> None:
    result = await answer(subject, subject.ask(response_schema=SCHEMA), streaming)
    found = json.loads(result.text)
    assert set(found) == {"city", "inhabitants"}
    assert isinstance(found["inhabitants"], int)


@pytest.mark.contract("image")
@both_ways
async def test_an_image_reaches_the_model(subject: Subject, streaming: bool) -> None:
    message = Message("user", (Text("What is in this picture?"), Image("image/png", png())))
    with_image = await answer(subject, subject.ask(messages=(message,)), streaming)
    without = await answer(subject, subject.ask("What is in this picture?"), streaming)
    assert with_image.usage and without.usage
    assert with_image.usage.input_tokens > without.usage.input_tokens


@pytest.mark.contract("usage with cache and reasoning")
@both_ways
async def test_usage_counts_cache_and_reasoning_the_same_way_everywhere(
    subject: Subject, streaming: bool
) -> None:
    """Input includes cached tokens and output includes reasoning, whatever the dialect."""
    plain = await subject.client().complete(subject.ask())
    request = subject.ask(
        headers={**FAST, "x-sim-cached-tokens": "4", "x-sim-reasoning-tokens": "9"}
    )
    result = await answer(subject, request, streaming)
    assert result.usage and plain.usage
    assert result.usage.input_tokens == plain.usage.input_tokens
    assert result.usage.output_tokens == plain.usage.output_tokens + 9
    assert (result.usage.cache_read_tokens, result.usage.reasoning_tokens) == (4, 9)


@pytest.mark.contract("models")
async def test_it_lists_models(subject: Subject) -> None:
    models = await subject.client().models()
    assert models == sorted(models)
    assert len(models) > 1
    if subject.row.name == subject.row.dialect:
        assert subject.row.default_model in models
