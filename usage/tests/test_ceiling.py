from __future__ import annotations

from typing import Any

import pytest

from usage.ceiling import TOKENS_PER_IMAGE, ceiling

TEXT = "x" * 1_000  # 500 tokens at two bytes each
PICTURE = "A" * 100_000


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 8, "max_tokens": 7}, 8),
        ({"generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, 18),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": "many"}, 4096),
        ({}, 4096),
    ],
)
def test_output_is_at_most_what_the_request_allows(body: dict[str, Any], most: int) -> None:
    assert ceiling(body).output_tokens == most


def test_all_text_of_a_request_is_input() -> None:
    said = {"messages": [{"content": TEXT}, {"content": [{"type": "text", "text": TEXT}]}]}

    assert 1_000 <= ceiling(said).input_tokens < 1_100


@pytest.mark.parametrize(
    "file",
    [
        {"image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
    ],
)
def test_a_picture_is_not_counted_by_its_length(file: dict[str, Any]) -> None:
    assert TOKENS_PER_IMAGE <= ceiling({"parts": [file]}).input_tokens < TOKENS_PER_IMAGE + 100


def test_data_that_is_no_file_is_text() -> None:
    assert ceiling({"input": {"data": TEXT}}).input_tokens >= 500


@pytest.mark.parametrize(
    ("body", "tier"),
    [
        ({"service_tier": "flex"}, "flex"),
        ({"serviceTier": "PRIORITY"}, "priority"),
        ({"speed": "fast"}, "fast"),
        ({"service_tier": "auto"}, ""),
        ({"service_tier": ["flex"]}, ""),
        ({"service_tier": "no name, surely"}, ""),
        ({}, ""),
    ],
)
def test_the_tier_that_is_asked_for_is_reserved_at_its_price(
    body: dict[str, Any], tier: str
) -> None:
    assert ceiling(body).service_tier == tier


def test_what_is_to_be_kept_for_an_hour_is_reserved_as_that() -> None:
    def asking(**kept: str) -> Any:
        return {"system": [{"type": "text", "text": TEXT, "cache_control": kept}]}

    most = ceiling(asking(type="ephemeral", ttl="1h"))
    assert most.cache_write_1h_tokens == most.input_tokens > 0
    assert ceiling(asking(type="ephemeral")).cache_write_1h_tokens == 0
