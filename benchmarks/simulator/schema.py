"""Makes a valid instance of a JSON schema, with values taken from the prompt where they fit.

Deterministic. Understands what the three providers accept in tools and structured output: types
(Gemini's upper case ones too), enum, const, $ref into $defs, anyOf/oneOf/allOf, nullable, bounds,
string formats. `pattern` is not generated for.
"""

import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.simulator.arithmetic import find_expression
from benchmarks.simulator.shapes import BadRequest, Json

DEEPEST = 12
MOST = 5_000

_QUOTED = re.compile(r"[\"“']([^\"”']{1,300})[\"”']")
_URL = re.compile(r"https?://[^\s\"'<>)]{1,300}")
_EMAIL = re.compile(r"[\w.+-]{1,60}@[\w-]{1,60}\.[\w.]{2,20}")
_PLACE = re.compile(
    r"\b(?:in|for|at|near|from)\s((?:[A-Z][\w'-]{0,40})(?:\s[A-Z][\w'-]{0,40}){0,2})"
)
_ZONE = re.compile(r"\b(?:[A-Z][a-z]{2,20}/[A-Z][A-Za-z_]{2,30}|UTC)\b")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,9})?")
_CALLED = re.compile(r"\b(?:name is|named|called|call me)\s([\w'-]{1,60})", re.IGNORECASE)


def instance(schema: Json, text: str, said: str = "", *, optional: bool = True) -> Any:
    """A value that is valid under `schema`. `said` is the answer in words, for text properties.

    With `optional=False` only required properties are made, unless the schema names none.
    """
    return _Maker(schema, text[:20_000], said, optional).make(schema, "", 0)


class _Maker:
    """Holds what the recursion shares: the definitions, the prompt, and its unused numbers."""

    def __init__(self, root: Json, text: str, said: str, optional: bool) -> None:
        self.root, self.text, self.said, self.optional = root, text, said, optional
        self.made = 0
        self.numbers: Iterator[str] = iter(_NUMBER.findall(_DATE.sub(" ", text)))

    def make(self, schema: Any, name: str, depth: int) -> Any:
        self._spend(1)
        if depth > DEEPEST:
            raise BadRequest("schema: its smallest instance is nested too deeply")
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        options = schema.get("enum")
        if isinstance(options, list) and options:
            return self._mentioned(options)
        maker = self._makers().get(_type_of(schema))
        return maker(schema, name, depth) if maker else None

    def _spend(self, amount: int) -> None:
        """Ends a schema whose smallest instance is huge."""
        self.made += amount
        if self.made > MOST:
            raise BadRequest("schema: its smallest instance is too large")

    def _makers(self) -> dict[str, Callable[[Json, str, int], Any]]:
        return {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._float,
            "boolean": lambda schema, name, depth: True,
        }

    def _resolved(self, schema: Any, depth: int) -> Json:
        """Follows $ref and picks the first branch of anyOf/oneOf; merges allOf."""
        for _ in range(DEEPEST):
            if not isinstance(schema, dict):
                return {}
            if isinstance(schema.get("$ref"), str):
                schema = self._lookup(schema["$ref"])
            elif branches := _branches(schema):
                schema = _pick(branches, depth)
            elif isinstance(schema.get("allOf"), list):
                schema = _merged(schema)
            else:
                return schema
        return {}

    def _lookup(self, reference: str) -> Any:
        found: Any = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        return found

    def _mentioned(self, options: list[Any]) -> Any:
        words = (o for o in options[:200] if isinstance(o, str) and o)
        said = (o for o in words if re.search(rf"\b{re.escape(o)}\b", self.text, re.IGNORECASE))
        return next(said, options[0])

    def _object(self, schema: Json, name: str, depth: int) -> Json:
        properties = schema.get("properties")
        required = schema.get("required")
        properties = properties if isinstance(properties, dict) else {}
        required = [r for r in required if isinstance(r, str)] if isinstance(required, list) else []
        roomy = depth < 4 and self.made < MOST // 4
        wanted = list(properties) if roomy and (self.optional or not required) else []
        keys = dict.fromkeys([*wanted, *required])
        return {key: self.make(properties.get(key, {}), key, depth + 1) for key in keys}

    def _array(self, schema: Json, name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems")
        if isinstance(fixed, list):
            return [self.make(item, name, depth + 1) for item in fixed[:100]]
        least = _bound(schema, "minItems", 1 if depth < 4 else 0)
        most = _bound(schema, "maxItems", max(least, 1))
        size = int(min(max(least, 1 if depth < 4 else 0), most, 100))
        return [self.make(schema.get("items", {}), name, depth + 1) for _ in range(size)]

    def _string(self, schema: Json, name: str, depth: int) -> str:
        value = _formatted(schema.get("format"), self.text) or self._by_name(name.lower())
        shortest = int(max(min(_bound(schema, "minLength", 0), 10_000), 0))
        longest = int(max(min(_bound(schema, "maxLength", 10_000), 10_000), 0))
        self._spend(shortest // 100)
        return value.ljust(shortest, "x")[:longest]

    def _integer(self, schema: Json, name: str, depth: int) -> int:
        return int(_clamped(schema, float(int(float(next(self.numbers, "1")))), step=1))

    def _float(self, schema: Json, name: str, depth: int) -> float | int:
        value = _clamped(schema, float(next(self.numbers, "1")), step=0)
        return int(value) if value == int(value) else value

    def _by_name(self, name: str) -> str:
        """A value that suits a property of this name, from the prompt if it has one."""
        for words, find in _FINDERS:
            if any(word in name for word in words):
                return find(self.text)
        if any(word in name for word in _ANSWER_WORDS) and self.said:
            return self.said
        return _quoted_or_all(self.text) if self.text else f"sample {name}".strip()


def _quoted_or_all(text: str) -> str:
    quoted = _QUOTED.search(text)
    return quoted[1] if quoted else text.strip()[:500]


def _first(pattern: re.Pattern[str], otherwise: str) -> Callable[[str], str]:
    def find(text: str) -> str:
        match = pattern.search(text)
        return match[match.lastindex or 0] if match else otherwise

    return find


_FINDERS: tuple[tuple[tuple[str, ...], Callable[[str], str]], ...] = (
    (
        ("expr", "equation", "formula", "calculation"),
        lambda text: find_expression(text) or "1 + 1",
    ),
    (("timezone", "time_zone", "tz"), _first(_ZONE, "UTC")),
    (("city", "location", "place", "town"), _first(_PLACE, "Paris")),
    (("country",), _first(_PLACE, "France")),
    (("url", "uri", "link"), _first(_URL, "https://example.com/")),
    (("email",), _first(_EMAIL, "someone@example.com")),
    (("date", "day"), _first(_DATE, "2025-01-01")),
    (("name",), _first(_CALLED, "Sam")),
)
_ANSWER_WORDS = ("answer", "text", "response", "message", "reply", "content", "result", "summary")

_FORMATS: dict[str, tuple[re.Pattern[str] | None, str]] = {
    "date": (_DATE, "2025-01-01"),
    "date-time": (None, "2025-01-01T00:00:00Z"),
    "time": (None, "00:00:00Z"),
    "email": (_EMAIL, "someone@example.com"),
    "uri": (_URL, "https://example.com/"),
    "uuid": (None, "00000000-0000-4000-8000-000000000000"),
    "ipv4": (None, "192.0.2.1"),
    "ipv6": (None, "2001:db8::1"),
    "hostname": (None, "example.com"),
    "duration": (None, "PT1S"),
}


def _formatted(name: Any, text: str) -> str:
    if not isinstance(name, str) or name not in _FORMATS:
        return ""
    pattern, otherwise = _FORMATS[name]
    return _first(pattern, otherwise)(text) if pattern else otherwise


def _type_of(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _branches(schema: Json) -> list[Any]:
    for key in ("anyOf", "oneOf", "any_of"):
        if isinstance(schema.get(key), list) and schema[key]:
            return list(schema[key])
    return []


def _pick(branches: list[Any], depth: int) -> Any:
    """The first branch that is not null; deep down the null one, so that recursion ends."""
    null = [b for b in branches if isinstance(b, dict) and b.get("type") == "null"]
    if null and depth >= 4:
        return null[0]
    return next((b for b in branches if b not in null), branches[0])


def _merged(schema: Json) -> Json:
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in itertools.islice(schema["allOf"], 20):
        for key, value in part.items() if isinstance(part, dict) else ():
            merged[key] = _joined(merged.get(key), value)
    return merged


def _joined(before: Any, value: Any) -> Any:
    """Properties and lists of required names add up; of anything else the last one holds."""
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **value}
    if isinstance(before, list) and isinstance(value, list):
        return before + value
    return value


def _bound(schema: Json, key: str, otherwise: float) -> float:
    value = schema.get(key, otherwise)
    try:  # Gemini writes 64 bit bounds as strings
        number = float(value) if isinstance(value, int | float | str) else otherwise
    except (ValueError, OverflowError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def _clamped(schema: Json, value: float, step: int) -> float:
    nudge = step or 0.5
    low = max(
        _bound(schema, "minimum", -math.inf),
        _bound(schema, "exclusiveMinimum", -math.inf) + nudge,
    )
    high = min(
        _bound(schema, "maximum", math.inf), _bound(schema, "exclusiveMaximum", math.inf) - nudge
    )
    value = max(low, min(value, high))
    multiple = _bound(schema, "multipleOf", 0)
    if multiple > 0:
        steps = low / multiple
        value = math.ceil(steps) * multiple if math.isfinite(steps) else multiple
    return math.ceil(value) if step and value != int(value) else value
