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
