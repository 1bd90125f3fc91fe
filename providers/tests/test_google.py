"""What is particular about Gemini's dialect, down to the bytes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from providers.errors import (
    AuthenticationFailed,
    BadAnswer,
    ContentRefused,
    InvalidRequest,
    Overloaded,
    StreamBroken,
)
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
CALL = {"functionCall": {"id": "c1", "name": "look_up", "args": {"word": "a"}}}


def chunk(*parts: JSON, finish: str | None = None, **fields: Any) -> JSON:
    candidate: JSON = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-x-1", "responseId": "r1", **fields}


def answer(*parts: JSON, finish: str = "STOP", **fields: Any) -> httpx2.Response:
    body = chunk(*(parts or ({"text": "Hi"},)), finish=finish, **fields)
    return httpx2.Response(200, json=body)


def camel(value: Any) -> Any:
    """The SDK mixes `mime_type` and `mimeType`; the API takes both for the same."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if isinstance(value, dict):
        return {re.sub(r"_(.)", lambda m: m[1].upper(), k): camel(v) for k, v in value.items()}
    return value


async def streamed(*events: JSON) -> list[Delta | ChatResult]:
    return [step async for step in Wire(sse(*events)).client("google").stream(ask())]


async def test_every_field_of_a_request_has_its_place() -> None:
    wire = Wire(answer())
    history = (
        Message("user", (Text("See:"), Image("image/png", b"\x89PNG"))),
        Message("assistant", (Text("Hm."), ToolCall("c1", "look_up", {"word": "a"}, "c2ln"))),
        Message("user", (ToolResult("c1", "look_up", "found"),)),
        Message("user", (ToolResult("c2", "look_up", "oops", is_error=True), Text("go on"))),
    )
    request = ask(
        model="gemini-2.5-flash",
        system="Be brief.",
        tools=(TOOL,),
        tool_choice="look_up",
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("x",),
        seed=0,
        reasoning_effort="medium",
        response_schema={"type": "object"},
        extra={"labels": {"a": "b"}, "generationConfig": {"topP": 1, "topK": 3}},
        headers={"X-Note": "1"},
    )
    await wire.client("google").complete(replace(request, messages=history))
    found = {"id": "c1", "name": "look_up", "response": {"output": "found"}}
    oops = {"id": "c2", "name": "look_up", "response": {"error": "oops"}}
    assert camel(wire.sent) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "See:"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                ],
            },
            {"role": "model", "parts": [{"text": "Hm."}, {**CALL, "thoughtSignature": "c2ln"}]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": found},
                    {"functionResponse": oops},
                    {"text": "go on"},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "look_up",
                        "description": "Looks a word up",
                        "parametersJsonSchema": {"type": "object", "properties": {}},
                    }
                ]
            }
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look_up"]}
        },
        "generationConfig": {
            "temperature": 0.0,
            "topP": 1,
            "topK": 3,
            "maxOutputTokens": 9,
            "stopSequences": ["x"],
            "seed": 0,
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
        "labels": {"a": "b"},
    }
    (sent,) = wire.requests
    assert sent.url.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert sent.headers["x-note"] == "1"


async def test_what_is_not_given_is_not_sent() -> None:
    wire = Wire(answer())
    await wire.client("google").complete(ask())
    assert wire.sent == {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {},
    }


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 1024}),
        ("models/gemini-2.5-flash", "high", {"thinkingBudget": 24576}),
        ("gemini-3-flash", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro", "high", {"thinkingLevel": "HIGH"}),
    ],
)
async def test_effort_is_tokens_for_gemini_2_5_and_a_level_later(
    model: str, effort: str, sent: JSON
) -> None:
    wire = Wire(answer())
    await wire.client("google").complete(ask(model=model, reasoning_effort=effort))
    thinking = camel(wire.sent)["generationConfig"]["thinkingConfig"]
    assert thinking == {"includeThoughts": True, **sent}


@pytest.mark.parametrize(
    ("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")]
)
async def test_the_choice_of_tools_is_translated(choice: str, mode: str) -> None:
    wire = Wire(answer())
    await wire.client("google").complete(ask(tools=(TOOL,), tool_choice=choice))
    assert wire.sent["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


async def test_thinking_is_added_to_the_output() -> None:
    counts = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 6,
        "cachedContentTokenCount": 3,
        "toolUsePromptTokenCount": 2,
        "totalTokenCount": 22,
    }
    result = await Wire(answer(usageMetadata=counts)).client("google").complete(ask())
    assert result.usage == Usage(12, 10, cache_read_tokens=3, reasoning_tokens=6)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.REFUSED),
        ("PROHIBITED_CONTENT", FinishReason.REFUSED),
        ("MALFORMED_FUNCTION_CALL", FinishReason.OTHER),
    ],
)
async def test_finish_reasons_are_translated(finish: str, reason: FinishReason) -> None:
    result = await Wire(answer(finish=finish)).client("google").complete(ask())
    assert result.finish_reason is reason


@pytest.mark.filterwarnings("ignore:.*is not a valid FinishReason")
async def test_a_finish_reason_of_tomorrow_is_no_trouble() -> None:
    result = await Wire(answer(finish="BORED")).client("google").complete(ask())
    assert result.finish_reason is FinishReason.OTHER


async def test_the_signature_of_a_call_goes_back_with_it() -> None:
    signed = {**CALL, "thoughtSignature": "_-8="}
    wire = Wire(answer(signed, {"functionCall": {"id": "c2", "name": "look_up"}}))
    result = await wire.client("google").complete(ask())
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert [call.opaque for call in result.tool_calls] == ["/+8=", None]
    history = (Message.user("Hello"), result.as_message())
    await wire.client("google").complete(replace(ask(), messages=history))
    assert wire.sent["contents"][1]["parts"][0]["thoughtSignature"] in ("_-8=", "/+8=")


async def test_calls_without_an_id_get_one_that_stays_with_us() -> None:
    bare = {"functionCall": {"name": "look_up", "args": {}}}
    wire = Wire(answer(bare, bare))
    result = await wire.client("google").complete(ask())
    first, second = result.tool_calls
    assert first.id != second.id and re.fullmatch(r"[\w-]+", first.id)
    results = tuple(ToolResult(call.id, call.name, "found") for call in (first, second))
    history = (Message.user("Hello"), result.as_message(), Message("user", results))
    await wire.client("google").complete(replace(ask(), messages=history))
    assert first.id not in wire.requests[-1].content.decode()


async def test_a_stream_yields_text_thoughts_calls_and_usage() -> None:
    counts = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    steps = await streamed(
        chunk({"text": "Let me see.", "thought": True}),
        chunk({"text": "Hel"}),
        chunk({"text": ""}),
        chunk({"text": "lo"}, CALL, finish="STOP", usageMetadata=counts),
    )
    call = ToolCall("c1", "look_up", {"word": "a"})
    usage = Usage(3, 2)
    assert steps == [
        Delta(reasoning="Let me see."),
        Delta("Hel"),
        Delta("lo"),
        Delta(usage=usage),
        ChatResult(
            "Hello",
            (call,),
            FinishReason.TOOL_CALLS,
            usage,
            "gemini-x-1",
            "r1",
            reasoning="Let me see.",
        ),
    ]


async def test_a_blocked_prompt_is_refused_content() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "gemini-x-1"}
    with pytest.raises(ContentRefused, match="PROHIBITED_CONTENT"):
        await Wire(httpx2.Response(200, json=body)).client("google").complete(ask())
    with pytest.raises(ContentRefused, match="PROHIBITED_CONTENT"):
        await streamed(body)


async def test_a_bad_key_is_known_although_its_status_is_400() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "No.", "details": [info]}
    wire = Wire(httpx2.Response(400, json={"error": error}))
    with pytest.raises(AuthenticationFailed):
        await wire.client("google").complete(ask())


async def test_an_error_inside_a_stream_is_translated() -> None:
    error = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "Try later"}}
    with pytest.raises(Overloaded, match="Try later"):
        await streamed(chunk({"text": "Hel"}), error)


async def test_a_stream_without_an_end_is_broken() -> None:
    with pytest.raises(StreamBroken):
        await streamed(chunk({"text": "Hel"}))


async def test_no_candidate_is_no_answer() -> None:
    with pytest.raises(BadAnswer):
        await Wire(httpx2.Response(200, json={})).client("google").complete(ask())


async def test_what_the_sdk_will_not_send_is_an_invalid_request() -> None:
    wire = Wire(answer())
    with pytest.raises(InvalidRequest, match="temperature"):
        await wire.client("google").complete(ask(temperature="warm"))
    assert wire.requests == []


async def test_the_sdk_sends_nothing_that_was_not_asked_for() -> None:
    """Left alone, it follows a continuation token with calls of its own."""
    body = chunk({"text": "Hel"}, finish="CONTINUATION")
    body["candidates"][0]["continuationToken"] = "bW9yZQ=="
    unexpected = httpx2.Response(500, json={})
    whole, stream = Wire(httpx2.Response(200, json=body), unexpected), Wire(sse(body), unexpected)
    assert (await whole.client("google").complete(ask())).finish_reason is FinishReason.OTHER
    assert [step async for step in stream.client("google").stream(ask())]
