from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.readers import (
    Reader,
    read_anthropic,
    read_google,
    read_google_embedding,
    read_openai,
    read_responses,
)
from gateway.taps import StreamTap, read_whole
from providers.http import UnreadableAnswer
from providers.vocabulary import Usage

CHUNKS: list[Any] = [
    {"model": "gpt-x", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "Grüße"}}], "usage": None},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}},
]


def events(*bodies: Any, end: str = "\n") -> bytes:
    lines = [f"data: {json.dumps(body, ensure_ascii=False)}{end}{end}" for body in bodies]
    return "".join(lines).encode()


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_bytes_pass_unchanged_however_they_are_cut(size: int, end: str) -> None:
    stream = b": comment\n\n" + events(*CHUNKS, end=end) + DONE + b"tail"
    tap = StreamTap(read_openai, "secret-key")
    passed = b"".join(tap.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed + tap.rest() == stream
    assert tap.reading.ended and tap.reading.characters == len("Grüße")
    assert tap.reading.usage == Usage(input_tokens=7, output_tokens=2)


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_usage_that_only_we_asked_for_is_left_out(size: int, end: str) -> None:
    stream = events(*CHUNKS, end=end) + DONE
    tap = StreamTap(read_openai, "secret-key", hides_usage=True)
    passed = b"".join(tap.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed + tap.rest() == events(*CHUNKS[:3], end=end) + DONE
    assert tap.reading.usage is not None


def test_usage_beside_content_stays() -> None:
    both = {**CHUNKS[1], "usage": CHUNKS[3]["usage"]}
    tap = StreamTap(read_openai, "secret-key", hides_usage=True)

    assert tap.feed(events(both)) == events(both)


def test_a_line_waits_for_its_end() -> None:
    tap = StreamTap(read_openai, "secret-key")

    assert tap.feed(b"data: {}") == b""
    assert tap.feed(b"\n\nda") == b"data: {}\n\n"
    assert tap.rest() == b"da"


@pytest.mark.parametrize(
    ("read", "last"),
    [
        (read_openai, DONE),
        (read_openai, events({"error": {"message": "no"}})),
        (read_anthropic, events({"type": "error", "error": {"type": "overloaded_error"}})),
        (read_google, events({"error": {"code": 503}})),
        (read_anthropic, events({"type": "message_stop"})),
    ],
)
def test_the_end_is_held_back_for_the_ledger(read: Reader, last: bytes) -> None:
    tap = StreamTap(read, "secret-key")

    assert tap.feed(events({"type": "ping"}) + last) == events({"type": "ping"})
    assert tap.reading.closed
    assert tap.rest() == last


def test_a_key_in_an_error_event_is_taken_out() -> None:
    tap = StreamTap(read_openai, "odd-secret-key")
    assert tap.feed(events({"error": {"message": "bad key odd-secret-key"}})) == b""
    passed = tap.rest()

    assert b"odd-secret-key" not in passed and b"[redacted]" in passed
    assert tap.reading.error is not None


ANTHROPIC_WHOLE = {
    "type": "message",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "output_tokens": 4,
    },
}


@pytest.mark.parametrize(
    ("read", "body", "expected"),
    [
        (
            read_openai,
            {
                "choices": [{"message": {"content": "hi"}}],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 4,
                    "total_tokens": 20,
                    "prompt_tokens_details": {"cached_tokens": 3},
                    "completion_tokens_details": None,
                },
            },
            Usage(10, 10, cache_read_tokens=3, reasoning_tokens=6),
        ),
        (read_anthropic, ANTHROPIC_WHOLE, Usage(18, 4, 5, 3)),
        (
            read_google,
            {
                "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "toolUsePromptTokenCount": 2,
                    "candidatesTokenCount": 4,
                    "thoughtsTokenCount": 6,
                    "cachedContentTokenCount": 3,
                },
            },
            Usage(12, 10, cache_read_tokens=3, reasoning_tokens=6),
        ),
        # other tiers, and what is kept for an hour
        (
            read_openai,
            {
                "service_tier": "flex",
                "choices": [{"message": {"content": "hi"}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
            },
            Usage(10, 4, service_tier="flex"),
        ),
        (
            read_responses,
            {
                "object": "response",
                "service_tier": "priority",
                "usage": {"input_tokens": 10, "output_tokens": 4},
            },
            Usage(10, 4, service_tier="priority"),
        ),
        (
            read_anthropic,
            ANTHROPIC_WHOLE
            | {
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 4,
                    "cache_creation_input_tokens": 3,
                    "cache_creation": {"ephemeral_1h_input_tokens": 2},
                    "service_tier": "standard",
                    "speed": "fast",
                }
            },
            Usage(13, 4, 0, 3, cache_write_1h_tokens=2, service_tier="fast"),
        ),
        (
            read_google,
            {
                "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
                "usageMetadata": {
                    "promptTokenCount": 10,
                    "candidatesTokenCount": 4,
                    "serviceTier": "FLEX",
                },
            },
            Usage(10, 4, service_tier="flex"),
        ),
    ],
)
def test_cached_tokens_are_input_and_thinking_is_output(
    read: Reader, body: Any, expected: Usage
) -> None:
    reading = read_whole(read, json.dumps(body).encode())

    assert reading is not None
    assert reading.tokens(lambda: 0) == (expected, "reported")


def test_a_cut_anthropic_stream_keeps_the_input_it_was_told() -> None:
    tap = StreamTap(read_anthropic, "secret-key")
    start = {**ANTHROPIC_WHOLE, "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}
    tap.feed(events({"type": "message_start", "message": start}))
    tap.feed(events({"type": "content_block_delta", "delta": {"text": "x" * 40}}))

    assert tap.reading.tokens(lambda: 999) == (Usage(10, 10), "estimated")


def test_the_last_word_of_an_anthropic_stream_counts() -> None:
    tap = StreamTap(read_anthropic, "secret-key")
    tap.feed(events({"type": "message_start", "message": ANTHROPIC_WHOLE}))
    tap.feed(
        events(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 30},
            }
        )
    )

    assert tap.reading.tokens(lambda: 0) == (Usage(18, 30, 5, 3), "reported")


def test_what_no_document_describes_is_passed_and_not_counted() -> None:
    odd = events(
        {"choices": 3},
        {"choices": [None]},
        {"usage": {"prompt_tokens": -5, "completion_tokens": "many", "total_tokens": 10**30}},
        [1],
    )
    tap = StreamTap(read_openai, "secret-key")

    assert tap.feed(odd) == odd
    usage, _ = tap.reading.tokens(lambda: 0)
    assert usage.input_tokens == 0 and 0 <= usage.output_tokens < 2**31


@pytest.mark.parametrize("body", [b"", b"<html>", b"3", b"[3]", b'"text"'])
def test_an_answer_of_another_shape_is_none(body: bytes) -> None:
    assert read_whole(read_openai, body) is None


RESPONSE = {
    "object": "response",
    "model": "gpt-x-1",
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
    },
}


@pytest.mark.parametrize("end", ["completed", "incomplete"])
def test_a_responses_stream_is_closed_by_the_event_that_has_it_whole(end: str) -> None:
    tap = StreamTap(read_responses, "secret-key")
    begun = events(
        {"type": "response.created", "response": {**RESPONSE, "usage": None}},
        {"type": "response.output_text.delta", "delta": "Hi"},
    )
    closing = events({"type": f"response.{end}", "response": RESPONSE})

    assert tap.feed(begun + closing) == begun
    assert tap.rest() == closing
    assert tap.reading.tokens(lambda: 0) == (Usage(9, 5, 4, 0, 2), "reported")
    assert (tap.reading.model, tap.reading.characters) == ("gpt-x-1", 2)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "no: secret-key", "param": None},
        {
            "type": "response.failed",
            "response": {**RESPONSE, "error": {"code": "server_error", "message": "secret-key"}},
        },
    ],
)
def test_the_errors_of_a_responses_stream_are_seen_and_hold_no_key(event: dict[str, Any]) -> None:
    tap = StreamTap(read_responses, "secret-key")
    tap.feed(events(event))

    assert tap.reading.error and tap.reading.closed
    assert b"secret-key" not in tap.rest()


def test_an_embedding_without_counts_is_booked_by_the_size_of_its_request() -> None:
    reading = read_whole(read_google_embedding, b'{"embedding": {"values": [0.1]}}')

    assert reading and reading.tokens(lambda: 40) == (Usage(10, 0), "estimated")


def test_an_embeddings_own_count_is_taken() -> None:
    body = b'{"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 3}}'
    reading = read_whole(read_google_embedding, body)

    assert reading and reading.tokens(lambda: 40) == (Usage(3, 0), "reported")


@given(
    texts=st.lists(st.text(max_size=8), max_size=12),
    cut=st.integers(1, 200) | st.just(10_000),
    loose=st.booleans(),
    head=st.sampled_from([b"", b"event: message\n", b": ping\n\n", b"id: 7\nevent: message\n"]),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_events_that_are_alike_count_as_if_each_had_been_read(
    texts: list[str], cut: int, loose: bool, head: bytes, end: bytes
) -> None:
    """A tap reads an event like the last one by comparing the two: that must change nothing."""
    separators = (", ", ": ") if loose else (",", ":")
    events = [
        {"model": "m", "choices": [{"index": 0, "delta": {"content": text}}], "n": n // 3}
        for n, text in enumerate(texts)
    ]
    lines = [json.dumps(e, ensure_ascii=False, separators=separators).encode() for e in events]
    raw = b"".join(head + b"data: " + line + 2 * end for line in lines)
    tap = StreamTap(read_openai, "sk-secret")
    passed = b"".join(tap.feed(raw[at : at + cut]) for at in range(0, len(raw), cut)) + tap.rest()

    assert passed == raw
    assert tap.reading.characters == sum(map(len, texts))


def test_a_line_that_does_not_end_is_given_up() -> None:
    tap = StreamTap(read_openai, "sk-secret")
    with pytest.raises(UnreadableAnswer):
        for _ in range(17):
            assert tap.feed(b"x" * 2**20) == b""


def test_what_comes_after_the_end_is_not_kept_for_ever() -> None:
    tap = StreamTap(read_openai, "sk-secret")
    tap.feed(b"data: [DONE]\n")
    with pytest.raises(UnreadableAnswer):
        for _ in range(17):
            tap.feed(b"x" * 2**20 + b"\n")
    assert tap.reading.ended


@pytest.mark.parametrize("values", [b"[],", b'"a",', b"1,", b'{"b":0},'])
def test_an_answer_of_millions_of_values_is_not_read(values: bytes) -> None:
    bomb = b'{"choices":[' + values * 3_000_000 + b"0]}"
    assert read_whole(read_openai, bomb) is None
    tap = StreamTap(read_openai, "sk-secret")
    assert tap.feed(b"data: " + bomb + b"\n\n") == b"data: " + bomb + b"\n\n"
