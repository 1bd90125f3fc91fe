from __future__ import annotations

import json

import pytest

from gateway.asked import asking_for_usage, naming, naming_inside, prompt_characters, read_request
from gateway.dialects import ANTHROPIC, GOOGLE, OPENAI, access_token
from gateway.errors import BadBody, UnknownAddress
from gateway.routes import route, spoken

CHAT = route("POST", "/v1/chat/completions")


def test_a_stream_is_made_to_report_usage_and_the_clients_bytes_stay_as_they_were() -> None:
    body = b' {"model":"gpt-4o-mini", "stream": true,\n "temperature": 1.0e0, "x": "\\u00e9"}'
    asked = asking_for_usage(read_request(CHAT, body))

    assert asked.body == b' {"stream_options":{"include_usage":true},' + body[2:]
    assert asked.hides_usage


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"other": 1}])
def test_other_stream_options_of_the_client_are_kept(options: dict[str, object] | None) -> None:
    body = json.dumps({"model": "m", "stream": True, "stream_options": options}).encode()
    asked = asking_for_usage(read_request(CHAT, body))

    sent = json.loads(asked.body)["stream_options"]
    assert sent == {**(options or {}), "include_usage": True}
    assert asked.hides_usage


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": False},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": "odd"},
    ],
)
def test_where_nothing_has_to_be_added_nothing_is(more: dict[str, object]) -> None:
    body = json.dumps({"model": "m", **more}).encode()
    asked = asking_for_usage(read_request(CHAT, body))

    assert (asked.body, asked.hides_usage) == (body, False)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_names_model_and_stream_in_the_address(version: str) -> None:
    path = f"/{version}/models/gemini-2.5-flash:streamGenerateContent"
    where = route("POST", path)
    asked = read_request(where, b'{"model": "other"}')

    assert where.path == path
    assert (where.dialect, asked.model, asked.stream) == (GOOGLE, "gemini-2.5-flash", True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1beta/models/a/../b:generateContent"),
        ("POST", "/v1beta/models/a?b:generateContent"),
        ("POST", "/v1beta/models/gemini-2.5-flash:predict"),
    ],
)
def test_other_addresses_are_unknown(method: str, path: str) -> None:
    with pytest.raises(UnknownAddress):
        route(method, path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            b' {"a":[1,{"model":"x/y"}] , "model" :\t"openai/gpt" ,"z":"\\u00e9\xc3\xa9"}',
            b' {"a":[1,{"model":"x/y"}] , "model" :\t"gpt" ,"z":"\\u00e9\xc3\xa9"}',
        ),
        (b'{"model":"openai/gpt"}\n', b'{"model":"gpt"}\n'),
        (
            b'{"model":"openai/a","\\u006dodel":"openai/gpt"}',
            b'{"model":"gpt","\\u006dodel":"gpt"}',
        ),
    ],
)
def test_another_model_name_changes_no_other_byte(before: bytes, after: bytes) -> None:
    named = naming(read_request(CHAT, before), "gpt")

    assert (named.body, named.model, named.parsed["model"]) == (after, "gpt", "gpt")


def test_where_the_address_names_the_model_its_body_follows_if_it_repeats_it() -> None:
    where = route("POST", "/v1beta/models/fast:batchEmbedContents")
    body = b'{"requests": [{"model": "models/fast", "content": {"model": "fast"}}]}'
    named = naming_inside(read_request(where, body), "gemini")
    request = {"model": "models/gemini", "content": {"model": "fast"}}

    assert json.loads(named.body) == named.parsed == {"requests": [request]}
    assert where.naming("gemini").path == "/v1beta/models/gemini:batchEmbedContents"
    assert where.naming("a/b?c").path == "/v1beta/models/a%2Fb%3Fc:batchEmbedContents"
    silent = read_request(where, b' {"requests": []}')
    assert naming_inside(silent, "gemini").body == silent.body


def test_a_response_in_the_background_is_refused_by_the_fields_name() -> None:
    where = route("POST", "/v1/responses")
    with pytest.raises(BadBody, match="background"):
        read_request(where, b'{"model": "gpt-4o", "input": "hi", "background": true}')


@pytest.mark.parametrize("action", ["countTokens", "embedContent", "batchEmbedContents"])
def test_geminis_maker_may_stand_before_the_model(action: str) -> None:
    where = route("POST", f"/v1beta/models/google/gemini-2.5-flash:{action}")

    assert where.path == f"/v1beta/models/gemini-2.5-flash:{action}"
    assert where.model == "gemini-2.5-flash"
    assert where.does.is_free == (action == "countTokens")


def test_an_unknown_address_is_answered_in_the_likeliest_dialect() -> None:
    assert spoken("/v1beta/x", {}) is GOOGLE
    assert spoken("/v1/messages/batches", {}) is ANTHROPIC
    assert spoken("/v1/models", {"anthropic-version": "2023-06-01"}) is ANTHROPIC
    assert spoken("/v1/models", {}) is OPENAI
    assert spoken("/v1/models/ft:gpt-4o:org", {}) is OPENAI
    assert spoken("/v1/models", {"x-goog-api-key": "byom_a"}) is GOOGLE


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer byom_a"},
        {"x-api-key": "byom_a"},
        {"x-goog-api-key": "byom_a"},
        {"x-api-key": "byom_a", "authorization": "Bearer something-else"},
    ],
)
def test_the_token_is_found_where_an_sdk_puts_its_key(headers: dict[str, str]) -> None:
    assert access_token(headers) == "byom_a"


def test_a_providers_key_is_no_token() -> None:
    assert access_token({"authorization": "Bearer sk-real", "x-api-key": ""}) == ""


def test_the_text_of_a_prompt_is_counted_in_all_dialects_and_images_are_not() -> None:
    text = [{"role": "user", "content": [{"type": "text", "text": "12345"}, {"image": "x" * 99}]}]

    assert prompt_characters(json.dumps({"messages": text, "system": "123"}).encode()) == 8
    assert prompt_characters(b'{"contents":[{"parts":[{"text":"12"}]}],"model":"m"}') == 2
    assert prompt_characters(b'{"messages":[{"role":"user","content":"1234"}]}') == 4
    assert prompt_characters(b'{"input":["12","345"],"model":"m"}') == 5
    assert prompt_characters(b'{"input":"123","instructions":"45","model":"m"}') == 5
