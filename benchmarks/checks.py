"""Is an answer right? Checks that a prompt's author has written down, run on what a model wrote.

Neither may hold up a run: patterns are RE2's, which take linear time (no look-around and no
back-references), in JSON Schemas too, and no schema is ever fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2
from jsonschema import Draft202012Validator, SchemaError, ValidationError, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

SHOWN_CHARACTERS = 60
_FENCED = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)


class BadCheck(ValueError):
    """This can't be checked; the message says why."""


class Kind(StrEnum):
    """CONTAINS takes no notice of capitals, EXACT none of space around. A JSON_SCHEMA holds for an
    answer that is JSON and nothing else, but for a code fence around it."""

    CONTAINS = "contains"
    REGEX = "regex"
    EXACT = "exact"
    JSON_SCHEMA = "json_schema"


@dataclass(frozen=True, slots=True)
class Check:
    """`value` of a JSON_SCHEMA is the schema as JSON text."""

    kind: Kind
    value: str

    def __post_init__(self) -> None:
        """Raises BadCheck now rather than after the first call."""
        if self.kind == Kind.REGEX:
            _pattern(self.value)
        elif self.kind == Kind.JSON_SCHEMA:
            _validator(self.value)

    def __str__(self) -> str:
        cut = self.value[:SHOWN_CHARACTERS]
        return f"{self.kind.value} {cut}{'…' * (cut != self.value)}"

    def passes(self, answer: str) -> bool:
        return _TESTS[self.kind](self.value, answer)


def failed(checks: Iterable[Check], answer: str) -> tuple[str, ...]:
    """Those that the answer does not pass, as text."""
    return tuple(str(check) for check in checks if not check.passes(answer))


def _contains(value: str, answer: str) -> bool:
    return value.casefold() in answer.casefold()


def _exact(value: str, answer: str) -> bool:
    return value.strip() == answer.strip()


def _regex(value: str, answer: str) -> bool:
    return _pattern(value).search(answer) is not None


def _json_schema(value: str, answer: str) -> bool:
    fenced = _FENCED.match(answer)
    try:
        return bool(_validator(value).is_valid(json.loads(fenced[1] if fenced else answer)))
    except (ValueError, RecursionError, Unresolvable):
        return False


_TESTS: dict[Kind, Callable[[str, str], bool]] = {
    Kind.CONTAINS: _contains,
    Kind.REGEX: _regex,
    Kind.EXACT: _exact,
    Kind.JSON_SCHEMA: _json_schema,
}


@lru_cache(maxsize=1_000)
def _pattern(value: str) -> Any:
    try:
        return re2.compile(value, _quiet())
    except re2.error as error:
        text = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise BadCheck(f"the pattern {value!r} can't be used (RE2): {text}") from None


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


@lru_cache(maxsize=1_000)
def _validator(value: str) -> Any:
    schema = json.loads(value)
    try:
        Draft202012Validator.check_schema(schema)
        for pattern in _patterns(schema):
            _pattern(pattern)
    except SchemaError as error:
        raise BadCheck(f"that is no JSON Schema: {error.message}") from None
    return _Linear(schema, registry=Registry())


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(found := schema.get("pattern"), str):
            yield found
        if isinstance(named := schema.get("patternProperties"), dict):
            yield from named
    children = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, (dict, list)):
        for child in children:
            yield from _patterns(child)


def _check_pattern(_: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and _pattern(pattern).search(instance) is None:
        yield ValidationError("does not match")


def _check_properties(
    validator: Any, patterns: dict[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        for name, value in instance.items():
            if _pattern(pattern).search(name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _check_additional(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    patterns = [_pattern(pattern) for pattern in schema.get("patternProperties", ())]
    for name, value in instance.items():
        if name in schema.get("properties", ()) or any(one.search(name) for one in patterns):
            continue
        yield from validator.descend(value, allowed, path=name)


_Linear = validators.extend(
    Draft202012Validator,
    {
        "pattern": _check_pattern,
        "patternProperties": _check_properties,
        "additionalProperties": _check_additional,
    },
)
