"""Each official SDK on the models of each other provider, through the gateway to the simulator."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from django.contrib.auth.models import User
from google.genai import types

from benchmarks.simulator.server import SimulatorThread
from credentials.tests.factories import CredentialFactory
from gateway.tests.sdks import QUESTION, SDK, SDKS, Anthropic, Google, OpenAI, Place, run, status_of
from gateway.tests.test_gateway import QUICK, post
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]

MODELS = {sdk.provider: sdk.model for sdk in SDKS}
FOREIGN = [
    pytest.param(sdk, provider, id=f"{sdk.provider} SDK, {provider} model")
    for sdk in SDKS
    for provider in MODELS
    if provider != sdk.provider
]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKS_FOR_A_TOOL = "What is the weather in Paris?"


@pytest.fixture
def keys(alice: User, simulator: SimulatorThread) -> None:
    for provider in MODELS:
        CredentialFactory.create(owner=alice, provider=provider)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("sdk", "provider"), FOREIGN)
def test_an_sdk_is_answered_by_another_providers_model(
    simulator: SimulatorThread, place: Place, sdk: SDK, provider: str
) -> None:
    assert "Paris" in run(sdk.complete(place, MODELS[provider], **QUICK))

    row = UsageRecord.objects.get()
    assert (row.surface, row.provider, row.status) == ("gateway", provider, "ok")
    assert row.cost_usd and row.usage_source == "reported"
    assert len(simulator.app.log) == 1


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("sdk", "provider"), FOREIGN)
def test_an_sdk_streams_from_another_providers_model(
    place: Place, sdk: Any, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(sdk), "model", MODELS[provider])

    assert "Paris" in run(sdk.stream(place, **QUICK))
    row = UsageRecord.objects.get()
    assert (row.provider, row.status) == (provider, "ok")
    assert row.ttft_ms is not None


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_our_limits_are_told_in_the_clients_dialect(
    place: Place, settings: Any, streams: bool
) -> None:
    six = {"calls": 6, "tokens": 0, "concurrent": 0}
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "user": six}
    body = {
        "model": MODELS["openai"],
        "max_tokens": 9,
        "stream": streams,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    answer = post(place, "/v1/messages", body)

    assert answer.status_code == 200, answer.text
    assert answer.headers["anthropic-ratelimit-requests-limit"] == "6"
    assert answer.headers["anthropic-ratelimit-requests-remaining"] == "5"


async def openai_tool_round(at: Place, model: str) -> tuple[str, dict[str, Any], str]:
    """The tool's name, its arguments, and the answer to its result."""
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    said: list[Any] = [{"role": "user", "content": ASKS_FOR_A_TOOL}]
    wanted: Any = {"type": "function", "function": {"name": "weather"}}
    async with OpenAI().client(at) as client:
        first = await client.chat.completions.create(
            model=model, messages=said, tools=[tool], tool_choice=wanted, extra_headers=QUICK
        )
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        call: Any = (message.tool_calls or [])[0]
        said += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        last = await client.chat.completions.create(
            model=model, messages=said, tools=[tool], extra_headers=QUICK
        )
    return (
        call.function.name,
        json.loads(call.function.arguments),
        last.choices[0].message.content or "",
    )


async def anthropic_tool_round(at: Place, model: str) -> tuple[str, dict[str, Any], str]:
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    said: list[Any] = [{"role": "user", "content": ASKS_FOR_A_TOOL}]
    common: Any = {"model": model, "max_tokens": 100, "tools": tools, "extra_headers": QUICK}
    async with Anthropic().client(at) as client:
        first = await client.messages.create(
            messages=said, tool_choice={"type": "tool", "name": "weather"}, **common
        )
        assert first.stop_reason == "tool_use"
        call: Any = next(block for block in first.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        said += [
            {"role": "assistant", "content": [call.to_dict()]},
            {"role": "user", "content": [result]},
        ]
        last: Any = await client.messages.create(messages=said, **common)
    return call.name, call.input, "".join(block.text for block in last.content)


async def google_tool_round(at: Place, model: str) -> tuple[str, dict[str, Any], str]:
    function = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    calling = types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
    )
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[function])],
        tool_config=types.ToolConfig(function_calling_config=calling),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        http_options=types.HttpOptions(headers=QUICK),
    )
    said = [types.Content(role="user", parts=[types.Part(text=ASKS_FOR_A_TOOL)])]
    with Google().client(at) as client:
        async with client.aio as aio:
            first = await aio.models.generate_content(
                model=model, contents=list(said), config=config
            )
            (call,) = first.function_calls or []
            name = call.name or ""
            answer = types.FunctionResponse(name=name, response={"output": "sunny"})
            said += [
                types.Content(role="model", parts=[types.Part(function_call=call)]),
                types.Content(role="user", parts=[types.Part(function_response=answer)]),
            ]
            config.tool_config = None
            last = await aio.models.generate_content(
                model=model, contents=list(said), config=config
            )
    return name, dict(call.args or {}), last.text or ""


ROUNDS = {
    "openai": openai_tool_round,
    "anthropic": anthropic_tool_round,
    "google": google_tool_round,
}


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("sdk", "provider"), FOREIGN)
def test_a_round_of_tools_works_across_dialects(place: Place, sdk: SDK, provider: str) -> None:
    name, arguments, answer = run(ROUNDS[sdk.provider](place, MODELS[provider]))

    assert name == "weather"
    assert set(arguments) == {"city"}
    assert answer
    assert UsageRecord.objects.filter(provider=provider, status="ok").count() == 2


@pytest.mark.parametrize(("sdk", "provider"), FOREIGN)
def test_a_providers_refusal_is_the_sdks_own_exception(
    simulator: SimulatorThread, place: Place, alice: User, sdk: SDK, provider: str
) -> None:
    key = {"openai": "sk-sim-401-1234567890", "anthropic": "sk-ant-sim-401-1234567890"}
    CredentialFactory.create(
        owner=alice, provider=provider, key=key.get(provider, "AIza-sim-401-1234567890")
    )
    with pytest.raises(sdk.Error) as caught:
        run(sdk.complete(place, MODELS[provider], **QUICK))

    assert status_of(caught.value) == 401
    assert UsageRecord.objects.get().error_code == "authentication_failed"


@pytest.mark.usefixtures("keys")
def test_exceptions_have_their_usual_classes(place: Place) -> None:
    with pytest.raises(openai.BadRequestError, match="logit_bias"):
        run(_openai_with(place, logit_bias={"1": 5}))
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        run(_anthropic_with(place, top_k=5))
    assert not UsageRecord.objects.exists()


async def _openai_with(at: Place, **options: Any) -> None:
    async with OpenAI().client(at) as client:
        await client.chat.completions.create(
            model=MODELS["anthropic"], messages=[{"role": "user", "content": QUESTION}], **options
        )


async def _anthropic_with(at: Place, **options: Any) -> None:
    async with Anthropic().client(at) as client:
        await client.messages.create(
            model=MODELS["openai"],
            max_tokens=5,
            messages=[{"role": "user", "content": QUESTION}],
            extra_body=options,
        )


@pytest.mark.usefixtures("keys")
def test_the_receipt_names_who_answered(place: Place) -> None:
    body = {"model": MODELS["anthropic"], "messages": [{"role": "user", "content": QUESTION}]}
    answer = post(place, body=body)

    row = UsageRecord.objects.get()
    assert answer.headers["x-byom-call-id"] == str(row.pk)
    assert answer.headers["x-byom-provider"] == "anthropic"
    assert answer.headers["x-byom-cost-usd"] == f"{row.cost_usd:f}"
    assert float(answer.headers["x-byom-overhead-ms"]) > 0


@pytest.mark.usefixtures("keys")
def test_usage_is_told_in_the_words_of_the_client(place: Place) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 50}
    answer = post(place, "/v1/messages", {**body, "model": MODELS["openai"]}).json()

    row = UsageRecord.objects.get()
    assert answer["usage"]["input_tokens"] == row.input_tokens
    assert answer["usage"]["output_tokens"] == row.output_tokens
    assert answer["stop_reason"] == "end_turn"


@pytest.mark.usefixtures("keys")
def test_a_broken_stream_ends_with_an_error_and_is_booked(place: Place, alice: User) -> None:
    body = {
        "model": MODELS["anthropic"], "stream": True,
        "messages": [{"role": "user", "content": "Tell me a long story."}],
    }  # fmt: skip
    text = post(place, body=body, headers={"x-sim-fault": "drop"}).text

    assert '"error"' in text and "[DONE]" not in text
    assert UsageRecord.objects.get().status == "error"
