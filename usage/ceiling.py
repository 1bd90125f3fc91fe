"""The most tokens that a call can use, from what is known before it is made.

Text is counted high, at two bytes a token (English has four, Chinese three and code about three),
so that what is reserved covers what is used. Output is what the request allows; where it allows
anything, `BYOM_RESERVE_OUTPUT_TOKENS`.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from providers.vocabulary import Usage, tier_of

BYTES_PER_TOKEN = 2
TOKENS_PER_ENTRY = 8  # roles and separators around a message
TOKENS_PER_IMAGE = 3_000  # more than any of the three providers counts for one picture
_OUTPUT_NAMES = ("max_tokens", "max_completion_tokens", "maxOutputTokens", "max_output_tokens")
_COUNT_NAMES = ("n", "candidateCount", "candidate_count")
_MEDIA_TYPE_NAMES = ("media_type", "mimeType", "mime_type")
_TIER_NAMES = ("service_tier", "serviceTier", "speed")
_CONFIG_NAMES = ("generationConfig", "generation_config")


_NAMED = frozenset({*_OUTPUT_NAMES, *_COUNT_NAMES, *_TIER_NAMES, *_CONFIG_NAMES})


def ceiling(body: Any, *, max_tokens: int | None = None) -> Usage:
    """For a request in whatever dialect: all strings in it are input, an inline file is counted
    as a picture. `max_tokens` wins over what the body says."""
    tokens, for_an_hour = _input(body)
    output, tier = max_tokens or settings.RESERVE_OUTPUT_TOKENS, ""
    if not _NAMED.isdisjoint(body):
        configs = [body, *(body.get(name) for name in _CONFIG_NAMES)]
        stated = max_tokens or _largest(configs, _OUTPUT_NAMES)
        answers = _largest(configs, _COUNT_NAMES) or 1
        output = (stated or settings.RESERVE_OUTPUT_TOKENS) * answers
        tier = _tier(body)
    return Usage(
        input_tokens=tokens,
        output_tokens=output,
        cache_write_1h_tokens=tokens if for_an_hour else 0,
        service_tier=tier,
    )


def _tier(body: Any) -> str:
    found = (tier_of(body.get(name)) for name in _TIER_NAMES)
    return next(filter(None, found), "")


def _largest(configs: list[Any], names: tuple[str, ...]) -> int:
    largest = 0
    for config in configs:
        if isinstance(config, dict):
            for name in names:
                number = config.get(name)
                if type(number) is int and number > largest:
                    largest = number
    return largest


def _input(body: Any) -> tuple[int, bool]:
    """The tokens, and whether some are to be kept in a cache for an hour (Anthropic's `ttl`)."""
    tokens, for_an_hour = 0, False
    todo = [body]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            tokens += TOKENS_PER_ENTRY
            if "ttl" in value and value["ttl"] == "1h":
                for_an_hour = True
            if ("url" in value or "data" in value) and _is_file(value):
                tokens += TOKENS_PER_IMAGE
                continue
            for name, inner in value.items():
                # A model reads names too: a tool's schema has them.
                tokens += -(-len(name) // BYTES_PER_TOKEN) if name.isascii() else _most_tokens(name)
                if type(inner) is str:
                    tokens += _most_tokens(inner)
                else:
                    todo.append(inner)
        elif isinstance(value, list | tuple):
            todo += value
        elif isinstance(value, str):
            tokens += _most_tokens(value)
    return tokens, for_an_hour


def _most_tokens(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def _is_file(value: dict[str, Any]) -> bool:
    """`{"url": "data:…"}` as OpenAI has it, or data beside a media type, as all others do."""
    url = value.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        return True
    return "data" in value and any(name in value for name in _MEDIA_TYPE_NAMES)
