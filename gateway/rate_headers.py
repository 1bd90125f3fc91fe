"""Our own rate limits in the headers that the providers' SDKs know.

OpenAI: https://platform.openai.com/docs/guides/rate-limits (durations such as `1m30s`).
Anthropic: https://docs.anthropic.com/en/api/rate-limits (moments, RFC 3339). Google has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from gateway.dialects import ANTHROPIC, OPENAI, Dialect
from usage.rates import Remaining

KINDS = {"calls": "requests", "tokens": "tokens"}


def rate_headers(dialect: Dialect, remaining: Iterable[Remaining]) -> list[tuple[str, str]]:
    found = []
    for one in remaining:
        kind = KINDS[one.kind]
        if dialect is OPENAI:
            found += [
                (f"x-ratelimit-limit-{kind}", str(one.limit)),
                (f"x-ratelimit-remaining-{kind}", str(one.left)),
                (f"x-ratelimit-reset-{kind}", _duration(one.full_in)),
            ]
        elif dialect is ANTHROPIC:
            found += [
                (f"anthropic-ratelimit-{kind}-limit", str(one.limit)),
                (f"anthropic-ratelimit-{kind}-remaining", str(one.left)),
                (f"anthropic-ratelimit-{kind}-reset", _moment(one.full_in)),
            ]
    return found


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _moment(seconds: float) -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
