from __future__ import annotations

from datetime import datetime

import pytest

from gateway.dialects import ANTHROPIC, GOOGLE, OPENAI
from gateway.rate_headers import rate_headers
from usage.rates import Remaining

CALLS = Remaining("calls", limit=60, left=12, full_in=48.2)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.02, "20ms"), (0, "0ms"), (48.2, "48s"), (90, "1m30s")]
)
def test_openai_is_told_durations(seconds: float, told: str) -> None:
    tokens = Remaining("tokens", limit=1000, left=5, full_in=seconds)

    assert dict(rate_headers(OPENAI, [CALLS, tokens])) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "48s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "5",
        "x-ratelimit-reset-tokens": told,
    }


def test_anthropic_is_told_a_moment() -> None:
    headers = dict(rate_headers(ANTHROPIC, [CALLS]))

    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-remaining"] == "12"
    assert datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])


def test_google_has_no_such_headers() -> None:
    assert list(rate_headers(GOOGLE, [CALLS])) == []
