"""Tool calls in the three dialects: asked, forced, in parallel, streamed, and answered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI

from benchmarks.simulator.server import SimulatorThread
from benchmarks.simulator.settings import SimulatorSettings

CALCULATOR: Any = {
    "name": "calculator",
    "description": "Evaluates an arithmetic expression",
    "schema": {
        "type": "object",
        "properties": {"expression": {"type": "string"}, "digits": {"type": "integer"}},
        "required": ["expression"],
    },
}
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city", "unit"],
    },
}
BOTH = (CALCULATOR, WEATHER)
OPENAI_TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": tool["name"],
            "description": tool["description"],
            "parameters": tool["schema"],
        },
    }
    for tool in BOTH
]
ANTHROPIC_TOOLS: Any = [
    {"name": t["name"], "description": t["description"], "input_schema": t["schema"]} for t in BOTH
]
GOOGLE_TOOLS = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name=t["name"], description=t["description"], parameters_json_schema=t["schema"]
        )
        for t in BOTH
    ]
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorThread]:
    with SimulatorThread(SimulatorSettings(ttft_ms=1, itl_ms=0)) as running:
        yield running


@pytest.fixture(scope="module")
def openai(simulator: SimulatorThread) -> Iterator[OpenAI]:
    url = f"{simulator.url}/openai/v1"
    with OpenAI(api_key="sk-sim-ok-1234567890", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic(simulator: SimulatorThread) -> Iterator[Anthropic]:
    url = f"{simulator.url}/anthropic"
    with Anthropic(api_key="sk-ant-sim-1234567890", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def google(simulator: SimulatorThread) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"{simulator.url}/google")
    client = genai.Client(api_key="AIza-sim-1234567890", http_options=options)
    yield client
    client.close()


def ask_openai(client: OpenAI, text: str, **extra: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    extra = {"messages": messages, "tools": OPENAI_TOOLS, **extra}
    return client.chat.completions.create(model="gpt-4o-mini", **extra)


def ask_anthropic(client: Anthropic, text: str, **extra: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    extra = {"messages": messages, "tools": ANTHROPIC_TOOLS, **extra}
    return client.messages.create(model="claude-haiku-4-5", max_tokens=500, **extra)


def google_config(mode: str = "AUTO", *allowed: str) -> types.GenerateContentConfig:
    calling = types.FunctionCallingConfig(
        mode=types.FunctionCallingConfigMode(mode), allowed_function_names=list(allowed) or None
    )
    return types.GenerateContentConfig(
        tools=[GOOGLE_TOOLS],
        tool_config=types.ToolConfig(function_calling_config=calling),
    )


def ask_google(
    client: genai.Client, contents: Any, mode: str = "AUTO", *allowed: str
) -> types.GenerateContentResponse:
    return client.models.generate_content(
        model="gemini-2.5-flash", contents=contents, config=google_config(mode, *allowed)
    )


def test_arithmetic_is_left_to_a_calculator(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "What is 17 * 23?"
    wanted = {"expression": "17 * 23"}
    first = ask_openai(openai, question).choices[0]
    assert first.finish_reason == "tool_calls" and first.message.content is None
    assert first.message.tool_calls[0].function.name == "calculator"
    assert json.loads(first.message.tool_calls[0].function.arguments) == wanted
    second = ask_anthropic(anthropic, question)
    assert (second.stop_reason, second.content[0].input) == ("tool_use", wanted)
    third = ask_google(google, question).function_calls
    assert third and (third[0].name, third[0].args) == ("calculator", wanted)


def test_the_result_ends_up_in_the_answer(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "What is 17 * 23?"
    asked = {"role": "user", "content": question}
    call = ask_openai(openai, question).choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "391"}
    first = ask_openai(openai, "", messages=[asked, call, result])
    assert "391" in first.choices[0].message.content
    use = ask_anthropic(anthropic, question)
    block = {"type": "tool_result", "tool_use_id": use.content[0].id, "content": "391"}
    turns = [asked, use.to_param(), {"role": "user", "content": [block]}]
    assert "391" in ask_anthropic(anthropic, "", messages=turns).content[0].text
    made = ask_google(google, question)
    assert made.candidates and made.candidates[0].content
    part = types.Part.from_function_response(name="calculator", response={"result": "391"})
    history = [types.UserContent(question), made.candidates[0].content, types.UserContent([part])]
    assert "391" in (ask_google(google, history).text or "")


def test_two_tools_named_means_two_calls(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "Use calculator on 6*7 and get_weather for Oslo in kelvin"
    calls = ask_openai(openai, question).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"expression": "6*7"},
        {"city": "Oslo", "unit": "kelvin"},
    ]
    assert len({call.id for call in calls}) == 2
    names = ["calculator", "get_weather"]
    assert [block.name for block in ask_anthropic(anthropic, question).content] == names
    assert [call.name for call in ask_google(google, question).function_calls or []] == names


def test_parallel_calls_can_be_turned_off(openai: OpenAI, anthropic: Anthropic) -> None:
    question = "Use calculator on 6*7 and get_weather for Oslo"
    first = ask_openai(openai, question, parallel_tool_calls=False)
    assert len(first.choices[0].message.tool_calls) == 1
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(ask_anthropic(anthropic, question, tool_choice=choice).content) == 1


def test_with_one_call_at_a_time_the_second_tool_comes_next(openai: OpenAI) -> None:
    question = "Use calculator on 6*7 and get_weather for Oslo"
    messages: list[Any] = [{"role": "user", "content": question}]
    names = []
    for _ in range(3):
        answer = ask_openai(openai, "", messages=messages, parallel_tool_calls=False)
        message = answer.choices[0].message
        if not message.tool_calls:
            break
        call = message.tool_calls[0]
        names.append(call.function.name)
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
    assert names == ["calculator", "get_weather"]
    assert "done" in (message.content or "")


def test_none_means_words(openai: OpenAI, anthropic: Anthropic, google: genai.Client) -> None:
    question = "What is 17 * 23?"
    assert "391" in ask_openai(openai, question, tool_choice="none").choices[0].message.content
    answer = ask_anthropic(anthropic, question, tool_choice={"type": "none"})
    assert "391" in answer.content[0].text
    assert "391" in (ask_google(google, question, "NONE").text or "")


def test_required_and_named_tools_are_called(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    named = {"type": "function", "function": {"name": "get_weather"}}
    first = ask_openai(openai, "hello", tool_choice=named).choices[0].message.tool_calls
    assert json.loads(first[0].function.arguments) == {"city": "Paris", "unit": "celsius"}
    choice = {"type": "tool", "name": "get_weather"}
    assert ask_anthropic(anthropic, "hello", tool_choice=choice).content[0].name == "get_weather"
    third = ask_google(google, "hello", "ANY", "get_weather").function_calls
    assert third and third[0].name == "get_weather"
    for answer in (
        ask_openai(openai, "hello", tool_choice="required").choices[0].message.tool_calls,
        ask_anthropic(anthropic, "hello", tool_choice={"type": "any"}).content,
        ask_google(google, "hello", "ANY").function_calls,
    ):
        assert len(answer or []) == 1


def test_without_need_no_tool_is_called(openai: OpenAI) -> None:
    assert ask_openai(openai, "hello").choices[0].finish_reason == "stop"


def test_openai_streams_arguments_in_fragments(openai: OpenAI) -> None:
    question = "Use calculator on 6*7 and get_weather for Oslo"
    calls: dict[int, list[str]] = {}
    opened: dict[int, str] = {}
    for chunk in ask_openai(openai, question, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.id:
                opened[call.index] = call.function.name
            calls.setdefault(call.index, []).append(call.function.arguments)
    assert opened == {0: "calculator", 1: "get_weather"}
    assert all(len(fragments) > 2 for fragments in calls.values())
    assert json.loads("".join(calls[0])) == {"expression": "6*7"}


def test_anthropic_streams_arguments_in_fragments(anthropic: Anthropic) -> None:
    with anthropic.messages.stream(
        model="claude-haiku-4-5",
        max_tokens=500,
        tools=ANTHROPIC_TOOLS,
        messages=[{"role": "user", "content": "What is 17 * 23?"}],
    ) as stream:
        fragments = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert len(fragments) > 2 and json.loads("".join(fragments)) == {"expression": "17 * 23"}
    assert final.content[0].type == "tool_use" and final.stop_reason == "tool_use"


def test_google_streams_a_call_as_one_part(google: genai.Client) -> None:
    chunks = list(
        google.models.generate_content_stream(
            model="gemini-2.5-flash", contents="What is 17 * 23?", config=google_config()
        )
    )
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert [call.args for call in calls] == [{"expression": "17 * 23"}]


def test_the_responses_api_calls_tools(openai: OpenAI) -> None:
    tools: Any = [
        {
            "type": "function",
            "name": "calculator",
            "description": "Evaluates an expression",
            "parameters": CALCULATOR["schema"],
            "strict": False,
        }
    ]
    asked: Any = [{"role": "user", "content": "What is 6 * 7?"}]
    with openai.responses.stream(model="gpt-5-mini", input=asked, tools=tools) as stream:
        final = stream.get_final_response()
    call = final.output[0]
    assert call.type == "function_call" and json.loads(call.arguments) == {"expression": "6 * 7"}
    history = [*asked, call.to_dict(), _output(call.call_id)]
    answer = openai.responses.create(model="gpt-5-mini", input=history, tools=tools)
    assert "42" in answer.output_text


def _output(call_id: str) -> Any:
    return {"type": "function_call_output", "call_id": call_id, "output": "42"}


def test_a_call_without_its_result_is_refused_as_by_the_provider(
    openai: OpenAI, anthropic: Anthropic
) -> None:
    question = {"role": "user", "content": "What is 6 * 7?"}
    call = ask_openai(openai, question["content"]).choices[0].message
    with pytest.raises(Exception, match="must be followed by tool messages"):
        ask_openai(openai, "", messages=[question, call, question])
    use = ask_anthropic(anthropic, question["content"])
    with pytest.raises(Exception, match="without `tool_result` blocks"):
        ask_anthropic(anthropic, "", messages=[question, use.to_param(), question])
