"""Reading JSON, fast."""

from __future__ import annotations

import json
from typing import Any

import orjson


def parse(text: bytes, encoding: str = "utf-8") -> Any:
    """orjson takes a quarter of the time of Python's own reader. What it refuses and that one
    takes (NaN, half of a surrogate pair) is read by that one.

    Raises ValueError, and RecursionError where it is nested too deep.
    """
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text.decode(encoding))
