"""Reading JSON that anybody may have sent: the type we expect, or BadRequest with its place."""

import json
import math
from typing import Any

Json = dict[str, Any]

DEEPEST = 100


class BadRequest(ValueError):
    """The request is malformed. `param` names the place as the provider would."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message, self.param = message, param


def parse_object(body: bytes) -> Json:
    """The JSON object in `body`. Refuses NaN, and nesting that nobody could recurse into."""
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest("could not parse the JSON body") from None
    if _is_deeper(value, DEEPEST):
        raise BadRequest(f"the request is nested more than {DEEPEST} levels deep")
    return mapping(value, "body")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in inner)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def mapping(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise BadRequest(f"{where}: expected an object, got {_kind(value)}", where)
    return value


def items(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{where}: expected an array, got {_kind(value)}", where)
    return value


def string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{where}: expected a string, got {_kind(value)}", where)
    return value


def whole(value: Any, where: str, least: int = 1) -> int | None:
    """A whole number of at least `least`, or None for null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequest(f"{where}: expected an integer, got {_kind(value)}", where)
    if value != int(value) or value < least:
        raise BadRequest(f"{where}: must be an integer of at least {least}", where)
    return int(value)


def flag(value: Any, where: str, default: bool = False) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequest(f"{where}: expected a boolean, got {_kind(value)}", where)
    return value


def strings(value: Any, where: str) -> tuple[str, ...]:
    """A list of strings, one string, or null: as all three dialects have it for stops."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(s for s in (string(item, where) for item in items(value, where)) if s)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dumps(value: Any) -> str:
    """Compact JSON in plain Unicode, as the providers write it."""
    return _encoder.encode(value)


def encode(value: Any) -> bytes:
    """Compact JSON as bytes; a lone surrogate (legal in JSON, not in UTF-8) becomes `?`."""
    return dumps(value).encode("utf-8", "replace")
