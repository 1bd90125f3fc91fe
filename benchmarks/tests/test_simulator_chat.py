"""Answers in the three dialects, read by the three official SDKs."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from google import genai
from google.genai import types
from openai import OpenAI

from benchmarks.simulator import tokens
from benchmarks.simulator.server import SimulatorThread
from benchmarks.simulator.settings import SimulatorSettings

PNG = base64.b64encode(b"\x89PNG" + b"0" * 96).decode()
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "mood": {"enum": ["calm", "busy"]},
        "visits": {"type": "integer", "minimum": 3},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    },
    "required": ["city", "mood", "visits", "tags"],
    "additionalProperties": False,
}


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


def ask_openai(client: OpenAI, content: Any, **extra: Any) -> Any:
    messages: Any = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **extra)


def ask_anthropic(client: Anthropic, content: Any, **extra: Any) -> Any:
    messages: Any = content if isinstance(content, list) else [{"role": "user", "content": content}]
    extra = {"max_tokens": 500, **extra}
    return client.messages.create(model="claude-haiku-4-5", messages=messages, **extra)


def ask_google(client: genai.Client, contents: Any, **config: Any) -> types.GenerateContentResponse:
    return client.models.generate_content(
        model="gemini-2.5-flash",
        contents=contents,
        config=types.GenerateContentConfig(**config),
    )


def test_all_three_know_the_capital_of_france(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "What is the capital of France?"
    said = [
        ask_openai(openai, question).choices[0].message.content,
        ask_anthropic(anthropic, question).content[0].text,
        ask_google(google, question).text,
    ]
    assert said == ["Paris is the capital of France."] * 3


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is 2+2?", "= 4"),
        ("what is 17 times 23", "= 391"),
        ("Hello", "Hello!"),
        ("Explain photosynthesis.", "photosynthesis"),
        ("Compare cats and dogs", "cats"),
        ("Write a haiku", "answers fall like rain"),
        ("Tell me nothing", "You said: Tell me nothing"),
        ("Repeat after me: open sesame", "open sesame"),
    ],
)
def test_it_answers_sensibly(openai: OpenAI, question: str, expected: str) -> None:
    assert expected in ask_openai(openai, question).choices[0].message.content


def test_openai_fills_the_fields_that_people_rely_on(openai: OpenAI) -> None:
    raw = openai.chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "hello"}],
        extra_headers={"x-sim-cached-tokens": "3", "x-sim-reasoning-tokens": "7"},
    )
    answer = raw.parse()
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-simulated"] == "true"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert answer.system_fingerprint and answer.created > 1_700_000_000
    usage = answer.usage
    assert usage and usage.prompt_tokens_details and usage.completion_tokens_details
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.completion_tokens_details.reasoning_tokens == 7
    text = answer.choices[0].message.content or ""
    assert usage.completion_tokens == tokens.count(text) + 7
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_anthropic_fills_the_fields_that_people_rely_on(anthropic: Anthropic) -> None:
    raw = anthropic.messages.with_raw_response.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=[{"role": "user", "content": "hello"}],
        extra_headers={"x-sim-cached-tokens": "2", "x-sim-reasoning-tokens": "7"},
    )
    answer = raw.parse()
    assert raw.headers["request-id"].startswith("req_")
    assert answer.id.startswith("msg_") and answer.stop_reason == "end_turn"
    assert answer.model == "claude-haiku-4-5-20251001"
    assert answer.usage.cache_read_input_tokens == 2
    assert answer.usage.input_tokens == 4 - 2
    assert answer.usage.output_tokens == 18 + 7


def test_google_fills_the_fields_that_people_rely_on(google: genai.Client) -> None:
    headers = {"x-sim-cached-tokens": "2", "x-sim-reasoning-tokens": "7"}
    answer = ask_google(google, "hello", http_options=types.HttpOptions(headers=headers))
    usage = answer.usage_metadata
    assert usage and answer.candidates
    assert answer.model_version == "gemini-2.5-flash" and answer.response_id
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert (usage.cached_content_token_count, usage.thoughts_token_count) == (2, 7)
    assert (usage.prompt_token_count, usage.candidates_token_count) == (4, 18)
    assert usage.total_token_count == 4 + 18 + 7


def test_openai_streams_exactly_the_tokens_and_usage_only_if_asked(openai: OpenAI) -> None:
    chunks = list(ask_openai(openai, "hello", stream=True))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    assert tuple(pieces) == tokens.split("".join(pieces))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in c.model_fields_set for c in chunks)
    options = {"include_usage": True}
    with_usage = list(ask_openai(openai, "hello", stream=True, stream_options=options))
    assert with_usage[-1].choices == []
    assert with_usage[-1].usage.completion_tokens == len(pieces)
    assert all(c.usage is None and "usage" in c.model_fields_set for c in with_usage[:-1])


def test_anthropic_streams_its_events_in_order(anthropic: Anthropic) -> None:
    events = list(ask_anthropic(anthropic, "hello", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[0].message.usage.input_tokens == 4
    assert events[-2].usage.output_tokens == len(kinds) - 5
    assert events[-2].delta.stop_reason == "end_turn"


def test_google_streams_text_and_ends_with_reason_and_usage(google: genai.Client) -> None:
    chunks = list(google.models.generate_content_stream(model="gemini-2.5-flash", contents="hello"))
    pieces = tuple(chunk.text or "" for chunk in chunks)
    assert pieces == tokens.split("".join(pieces))
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert reasons[:-1] == [None] * (len(chunks) - 1) and reasons[-1] == types.FinishReason.STOP
    last = chunks[-1].usage_metadata
    assert last and last.candidates_token_count == len(pieces)


def test_it_says_exactly_as_many_tokens_as_asked_for(openai: OpenAI) -> None:
    for wanted in (1, 5, 123):
        headers = {"x-sim-tokens": str(wanted), "x-sim-chunk": "10"}
        answer = ask_openai(openai, "hello", extra_headers=headers)
        assert answer.usage.completion_tokens == wanted
        assert tokens.count(answer.choices[0].message.content) == wanted
        assert answer.choices[0].finish_reason == "stop"
        stream = list(ask_openai(openai, "hello", stream=True, extra_headers=headers))
        said = [c for c in stream if c.choices[0].delta.content]
        assert len(said) == -(-wanted // 10)


def test_the_same_seed_says_the_same(openai: OpenAI) -> None:
    def said(seed: int) -> str:
        headers = {"x-sim-tokens": "60", "x-sim-seed": str(seed)}
        return str(ask_openai(openai, "hello", extra_headers=headers).choices[0].message.content)

    assert said(1) == said(1) != said(2)


def test_max_tokens_cuts_the_answer(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    first = ask_openai(openai, "hello", max_completion_tokens=3)
    assert (first.choices[0].finish_reason, first.usage.completion_tokens) == ("length", 3)
    second = ask_anthropic(anthropic, "hello", max_tokens=3)
    assert (second.stop_reason, second.usage.output_tokens) == ("max_tokens", 3)
    third = ask_google(google, "hello", max_output_tokens=3)
    assert third.candidates
    assert third.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_stop_sequences_are_honoured(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "Count to 9"
    first = ask_openai(openai, question, stop=["5", "7"])
    assert first.choices[0].message.content == "1, 2, 3, 4, "
    assert first.choices[0].finish_reason == "stop"
    second = ask_anthropic(anthropic, question, stop_sequences=["5"])
    assert (second.stop_reason, second.stop_sequence) == ("stop_sequence", "5")
    assert ask_google(google, question, stop_sequences=["5"]).text == "1, 2, 3, 4, "


def test_it_remembers_a_name_from_the_history(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    told = "Hello, my name is Ada."
    history = [
        {"role": "user", "content": told},
        {"role": "assistant", "content": "Nice to meet you."},
        {"role": "user", "content": "What is my name?"},
    ]
    contents = [
        types.UserContent(told),
        types.ModelContent("Nice to meet you."),
        types.UserContent("What is my name?"),
    ]
    assert "Ada" in ask_openai(openai, history).choices[0].message.content
    assert "Ada" in ask_anthropic(anthropic, history).content[0].text
    assert "Ada" in (ask_google(google, contents).text or "")


def test_it_tells_its_instructions(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    asked = {"role": "user", "content": "What are your instructions?"}
    system = {"role": "system", "content": "Be terse."}
    assert "Be terse." in ask_openai(openai, [system, asked]).choices[0].message.content
    assert "Be terse." in ask_anthropic(anthropic, [asked], system="Be terse.").content[0].text
    answer = ask_google(google, asked["content"], system_instruction="Be terse.")
    assert "Be terse." in (answer.text or "")
    assert "no instructions" in ask_openai(openai, [asked]).choices[0].message.content


def test_it_sees_images(openai: OpenAI, anthropic: Anthropic, google: genai.Client) -> None:
    expected = "I see an image (image/png, 100 bytes)."
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    text = {"type": "text", "text": "What is this?"}
    first = ask_openai(openai, [{"role": "user", "content": [text, url]}])
    second = ask_anthropic(
        anthropic, [{"role": "user", "content": [{"type": "image", "source": source}, text]}]
    )
    part = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    third = ask_google(google, ["What is this?", part])
    assert first.choices[0].message.content == second.content[0].text == third.text == expected


def test_structured_output_is_valid(
    openai: OpenAI, anthropic: Anthropic, google: genai.Client
) -> None:
    question = "A busy day in Lisbon with 12 visits"
    form = {"type": "json_schema", "json_schema": {"name": "day", "schema": SCHEMA}}
    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    said = [
        ask_openai(openai, question, response_format=form).choices[0].message.content,
        ask_anthropic(anthropic, question, output_config=config).content[0].text,
        ask_google(
            google,
            question,
            response_mime_type="application/json",
            response_json_schema=SCHEMA,
        ).text,
    ]
    for text in said:
        value = json.loads(text)
        assert (value["city"], value["mood"], value["visits"]) == ("Lisbon", "busy", 12)
        assert len(value["tags"]) == 2


def test_gemini_schema_types_in_upper_case_are_understood(google: genai.Client) -> None:
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={"count": types.Schema(type=types.Type.INTEGER)},
        required=["count"],
    )
    answer = ask_google(
        google, "there are 7", response_mime_type="application/json", response_schema=schema
    )
    assert json.loads(answer.text or "") == {"count": 7}


def test_thinking_is_shown_when_asked_for(anthropic: Anthropic, google: genai.Client) -> None:
    headers = {"x-sim-reasoning-tokens": "9"}
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with anthropic.messages.stream(
        model="claude-haiku-4-5",
        max_tokens=2000,
        messages=[{"role": "user", "content": "hello"}],
        thinking=thinking,  # type: ignore[arg-type]
        extra_headers=headers,
    ) as stream:
        kinds = [block.type for block in stream.get_final_message().content]
    assert kinds == ["thinking", "text"]
    answer = ask_google(
        google,
        "hello",
        thinking_config=types.ThinkingConfig(include_thoughts=True),
        http_options=types.HttpOptions(headers=headers),
    )
    assert answer.parts and [part.thought for part in answer.parts] == [True, None]


def test_tokens_can_be_counted_before_a_call(anthropic: Anthropic, google: genai.Client) -> None:
    hello: Any = [{"role": "user", "content": "hello"}]
    counted = anthropic.messages.count_tokens(model="claude-haiku-4-5", messages=hello)
    assert counted.input_tokens == 4
    assert google.models.count_tokens(model="gemini-2.5-flash", contents="hello").total_tokens == 4


def test_models_are_listed(openai: OpenAI, anthropic: Anthropic, google: genai.Client) -> None:
    assert "gpt-4o-mini" in [model.id for model in openai.models.list()]
    assert openai.models.retrieve("gpt-4o").id == "gpt-4o"
    assert "claude-haiku-4-5" in [model.id for model in anthropic.models.list()]
    assert anthropic.models.retrieve("claude-haiku-4-5").max_input_tokens == 200_000
    assert "models/gemini-2.5-flash" in [model.name for model in google.models.list()]


def test_embeddings_have_the_size_asked_for(openai: OpenAI, google: genai.Client) -> None:
    made = openai.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=64)
    assert [len(item.embedding) for item in made.data] == [64, 64]
    assert made.data[0].embedding != made.data[1].embedding
    found = google.models.embed_content(model="gemini-embedding-001", contents="a")
    assert found.embeddings and len(found.embeddings[0].values or []) == 768


def test_the_responses_api_answers_and_streams(openai: OpenAI) -> None:
    question = "What is the capital of France?"
    whole = openai.responses.create(model="gpt-5-mini", input=question)
    assert whole.output_text == "Paris is the capital of France."
    assert whole.usage and whole.usage.output_tokens == 7
    with openai.responses.stream(model="gpt-5-mini", input=question) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") == 7
    assert final.output_text == whole.output_text


def test_local_model_names_are_accepted(openai: OpenAI) -> None:
    for model in ("llama3.2", "qwen2.5-coder", "mistral-small", "sim-large"):
        messages: Any = [{"role": "user", "content": "hello"}]
        assert openai.chat.completions.create(model=model, messages=messages).model == model
