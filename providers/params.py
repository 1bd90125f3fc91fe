"""Call parameters as people store them (JSON), checked before anything is saved or sent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

MAX_EXTRA = 50
MAX_BYTES = 20_000
EFFORTS = ("minimal", "low", "medium", "high")


class InvalidParams(ValueError):
    """A parameter is unknown or has a value it can't have; the message says which and why."""

    status = 400
    code = "invalid_params"


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    )


def _stop(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 16
        and all(isinstance(text, str) and 0 < len(text) <= 200 for text in value)
    )


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "top_p": (_number(0, 1), "a number from 0 to 1"),
    "max_tokens": (_whole(1, 1_000_000), "a whole number from 1 to 1,000,000"),
    "stop": (_stop, "a list of up to 16 texts"),
    "seed": (_whole(-(2**31), 2**31 - 1), "a whole number of 32 bits"),
    "reasoning_effort": (lambda value: value in EFFORTS, f"one of {', '.join(EFFORTS)}"),
    "response_schema": (
        lambda value: isinstance(value, dict) and bool(value),
        "a JSON Schema object that the answer has to fit",
    ),
    "extra": (
        lambda value: isinstance(value, dict) and len(value) <= MAX_EXTRA,
        f"an object of up to {MAX_EXTRA} provider-specific fields",
    ),
}


def check_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, ready to be keyword arguments of `ChatRequest`; nulls are dropped.

    Raises InvalidParams.
    """
    given = {name: value for name, value in params.items() if value is not None}
    for name, value in given.items():
        if name not in _RULES:
            known = ", ".join(_RULES)
            raise InvalidParams(f"Unknown parameter {name[:40]!r}. Known: {known}.")
        fits, description = _RULES[name]
        if not fits(value):
            raise InvalidParams(f"The parameter {name} must be {description}.")
    _check_storable(given)
    return given


def _check_storable(params: Mapping[str, Any]) -> None:
    """Refuses what is JSON to Python only: no database and no provider takes it."""
    try:
        text = json.dumps(params, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        raise InvalidParams("Parameters must be finite numbers and valid text.") from None
    if "\\u0000" in text:
        raise InvalidParams("Parameters must not hold the NUL character.")
    if size > MAX_BYTES:
        raise InvalidParams(f"Parameters take more than {MAX_BYTES:,} bytes.")
