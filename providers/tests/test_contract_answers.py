"""The contract, part 1: what every provider client answers, through SDK and HTTP."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from typing import Any

import pytest

from providers.capabilities import Capability
from providers.errors import Unsupported
from providers.tests.conftest import FAST, Subject
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


def png() -> bytes:
    """One black pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")


async def test_it_completes(subject: Subject) -> None:
    result = await subject.client().complete(subject.ask())
    assert "Paris" in result.text
    assert result.finish_reason is FinishReason.STOP
    assert result.tool_calls == ()
    assert result.model.startswith(subject.model)
    assert result.usage and result.usage.input_tokens > 0 and result.usage.output_tokens > 0


async def test_it_names_the_providers_request(subject: Subject) -> None:
    _, streamed = await collect(subject, subject.ask())
    assert streamed.request_id
    assert (await subject.client().complete(subject.ask())).request_id


async def test_a_stream_says_what_a_completion_says(subject: Subject) -> None:
    deltas, streamed = await collect(subject, subject.ask())
    whole = await subject.client().complete(subject.ask())
    assert "".join(delta.text for delta in deltas) == streamed.text == whole.text
    assert (streamed.usage, streamed.model) == (whole.usage, whole.model)
    assert streamed.finish_reason is whole.finish_reason


async def test_a_stream_arrives_in_pieces_of_which_none_is_empty(subject: Subject) -> None:
    deltas, _ = await collect(subject, subject.ask())
    assert sum(bool(delta.text) for delta in deltas) > 2
    assert all(delta.text or delta.reasoning or delta.usage for delta in deltas)


async def test_system_text_reaches_the_model(subject: Subject) -> None:
    plain = await subject.client().complete(subject.ask())
    told = await subject.client().complete(subject.ask(system="Speak like a pirate. " * 10))
    assert plain.usage and told.usage
    assert told.usage.input_tokens > plain.usage.input_tokens + 20


async def test_earlier_turns_reach_the_model(subject: Subject) -> None:
    first = subject.ask("My name is Ada and I collect very old typewriters.")
    answer = await subject.client().complete(first)
    history = (*first.messages, answer.as_message(), Message.user("What is my name?"))
    short = await subject.client().complete(subject.ask("What is my name?"))
    whole = await subject.client().complete(subject.ask(messages=history))
    assert short.usage and whole.usage
    assert whole.usage.input_tokens > short.usage.input_tokens + 10


async def test_parameters_are_accepted(subject: Subject) -> None:
    request = subject.ask(temperature=0.5, top_p=0.9, max_tokens=100, stop=("zebra",))
    if Capability.SEED in subject.row.capabilities:
        request = replace(request, seed=7)
    if Capability.REASONING_EFFORT in subject.row.capabilities:
        request = replace(request, reasoning_effort="low", temperature=None, top_p=None)
    assert "Paris" in (await subject.client().complete(request)).text


async def test_what_a_provider_lacks_is_refused_before_anything_is_sent(subject: Subject) -> None:
    key = subject.key()
    for lack in set(Capability) - subject.row.capabilities:
        request = subject.ask(**{lack.value: VALUES[lack]})
        with pytest.raises(Unsupported, match=lack.value):
            await subject.client(key).complete(request)
        with pytest.raises(Unsupported, match=lack.value):
            await anext(subject.client(key).stream(request))
    assert subject.calls_of(key) == []


async def test_an_answer_ends_at_max_tokens(subject: Subject) -> None:
    deltas, result = await collect(subject, subject.ask(max_tokens=3))
    assert result.finish_reason is FinishReason.LENGTH
    assert result.usage and result.usage.output_tokens == 3


async def test_an_answer_ends_at_a_stop_sequence(subject: Subject) -> None:
    result = await subject.client().complete(subject.ask(stop=(" capital",)))
    assert "Paris" in result.text and "capital" not in result.text
    assert result.finish_reason is FinishReason.STOP


async def test_a_refusal_is_told_by_the_finish_reason(subject: Subject) -> None:
    request = subject.ask(headers={**FAST, "x-sim-fault": "refuse"})
    _, streamed = await collect(subject, request)
    assert streamed.finish_reason is FinishReason.REFUSED
    whole = await subject.client().complete(request)
    assert whole.finish_reason is FinishReason.REFUSED


@pytest.mark.parametrize("streaming", [False, True])
async def test_it_calls_a_tool(subject: Subject, streaming: bool) -> None:
    request = subject.ask("Use get_weather for Paris.", tools=(WEATHER,))
    if streaming:
        _, result = await collect(subject, request)
    else:
        result = await subject.client().complete(request)
    (call,) = result.tool_calls
    assert (call.name, list(call.arguments)) == ("get_weather", ["city"])
    assert call.id
    assert result.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("streaming", [False, True])
async def test_it_calls_two_tools_at_once(subject: Subject, streaming: bool) -> None:
    request = subject.ask("Use get_weather and get_time for Paris.", tools=(WEATHER, CLOCK))
    if streaming:
        _, result = await collect(subject, request)
    else:
        result = await subject.client().complete(request)
    assert [call.name for call in result.tool_calls] == ["get_weather", "get_time"]
    assert len({call.id for call in result.tool_calls}) == 2
    assert all(call.arguments for call in result.tool_calls)


async def test_results_of_tools_go_back_to_the_model(subject: Subject) -> None:
    request = subject.ask("Use get_weather and get_time for Paris.", tools=(WEATHER, CLOCK))
    asked = await subject.client().complete(request)
    results = tuple(
        ToolResult(call.id, call.name, f"the answer of {call.name} is 4711")
        for call in asked.tool_calls
    )
    history = (*request.messages, asked.as_message(), Message("user", results))
    final = await subject.client().complete(replace(request, messages=history))
    assert "4711" in final.text
    assert final.tool_calls == ()


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


async def test_an_answer_follows_a_schema(subject: Subject) -> None:
    result = await subject.client().complete(subject.ask(response_schema=SCHEMA))
    answer = json.loads(result.text)
    assert set(answer) == {"city", "inhabitants"}
    assert isinstance(answer["inhabitants"], int)


async def test_an_image_reaches_the_model(subject: Subject) -> None:
    message = Message("user", (Text("What is in this picture?"), Image("image/png", png())))
    with_image = await subject.client().complete(subject.ask(messages=(message,)))
    without = await subject.client().complete(subject.ask("What is in this picture?"))
    assert with_image.usage and without.usage
    assert with_image.usage.input_tokens > without.usage.input_tokens


@pytest.mark.parametrize("streaming", [False, True])
async def test_usage_counts_cache_and_reasoning_the_same_way_everywhere(
    subject: Subject, streaming: bool
) -> None:
    """Input includes cached tokens and output includes reasoning, whatever the dialect."""
    plain = await subject.client().complete(subject.ask())
    request = subject.ask(
        headers={**FAST, "x-sim-cached-tokens": "4", "x-sim-reasoning-tokens": "9"}
    )
    if streaming:
        _, result = await collect(subject, request)
    else:
        result = await subject.client().complete(request)
    assert result.usage and plain.usage
    assert result.usage.input_tokens == plain.usage.input_tokens
    assert result.usage.output_tokens == plain.usage.output_tokens + 9
    assert (result.usage.cache_read_tokens, result.usage.reasoning_tokens) == (4, 9)


async def test_it_lists_models(subject: Subject) -> None:
    models = await subject.client().models()
    assert models == sorted(models)
    assert len(models) > 1
    if subject.row.name == subject.row.dialect:
        assert subject.row.default_model in models
