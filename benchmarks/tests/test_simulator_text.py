"""The tokenizer, arithmetic and schema instances on their own."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulator import tokens
from benchmarks.simulator.arithmetic import find_expression, value_of
from benchmarks.simulator.faults import Flaky, fault_of
from benchmarks.simulator.schema import instance
from benchmarks.simulator.shapes import BadRequest


@given(st.text())
def test_tokens_joined_give_the_text_back(text: str) -> None:
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert tokens.count(text) == len(pieces)


def test_long_texts_are_estimated() -> None:
    assert tokens.count("a" * 1_000_000) == 250_000


@pytest.mark.parametrize(
    ("text", "expression", "value"),
    [
        ("What is 2+2?", "2+2", "4"),
        ("what is 6 times 7", "6 * 7", "42"),
        ("2 + 3 * 4 - -1", "2 + 3 * 4 - -1", "15"),
        ("10 divided by 4", "10 / 4", "2.5"),
        ("1/0", "1/0", "undefined"),
        ("0.1 + 0.2", "0.1 + 0.2", "0.3"),
    ],
)
def test_arithmetic_is_found_and_worked_out(text: str, expression: str, value: str) -> None:
    assert find_expression(text) == expression
    assert value_of(expression) == value


@pytest.mark.parametrize("text", ["no numbers", "on 2024-01-02", "version 1.2", "", "5"])
def test_where_there_is_no_arithmetic_none_is_found(text: str) -> None:
    assert find_expression(text) == ""


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date"}, "2024-05-06"),
        ({"type": ["null", "integer"]}, 42),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 42),
        ({"const": 5}, 5),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"enum": ["x", "y"]}}}, "x"),
        ({"type": "number", "maximum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 100}, 101),
        ({"type": "integer", "minimum": 10, "multipleOf": 8}, 16),
        ({"type": "string", "maxLength": 3}, "Say"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [42, 1]),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"type": "object"}, {}),
        (True, None),
    ],
)
def test_schema_instances_take_their_values_from_the_prompt(schema: Any, expected: Any) -> None:
    made = instance(schema if isinstance(schema, dict) else {}, "Say 42 on 2024-05-06")
    assert made == expected or expected is None


def test_a_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}, "value": {"type": "integer"}}}
    assert instance(node, "")["next"]["value"] == 1


def test_a_schema_of_nested_long_arrays_is_refused() -> None:
    schema: Any = {"type": "integer"}
    for _ in range(6):
        schema = {"type": "array", "items": schema, "minItems": 100}
    with pytest.raises(BadRequest, match="too large"):
        instance(schema, "")


KEYWORDS = st.sampled_from(
    ["type", "properties", "required", "items", "enum", "anyOf", "allOf", "$ref", "minItems"]
    + ["minimum", "maximum", "exclusiveMaximum", "multipleOf", "minLength", "format", "a", "const"]
)
SCHEMAS = st.recursive(
    st.none()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["object", "array", "integer", "number", "string", "#", "#/properties/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYWORDS, SCHEMAS, max_size=5))
def test_no_schema_makes_it_fail(schema: dict[str, Any]) -> None:
    with contextlib.suppress(BadRequest):
        json.dumps(instance(schema, "Say 42"))


def test_a_list_that_must_hold_itself_is_refused() -> None:
    with pytest.raises(BadRequest, match="too deeply"):
        instance({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "")


def test_a_bushy_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {f"p{n}": {"$ref": "#"} for n in range(50)}}
    assert len(instance(node, "")) == 50


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("sk-sim-ok-1234567890", ""),
        ("sk-sim-429-abc", "429"),
        ("AIza-sim-QUOTA", "quota"),
        ("sk-sim-4290", ""),
        ("sk-ant-sim-flaky-3-x", "flaky-3"),
        ("sk-sim-hanging", ""),
    ],
)
def test_faults_are_read_from_keys(key: str, fault: str) -> None:
    assert fault_of({}, key) == fault


def test_flaky_keys_are_forgotten_when_there_are_too_many() -> None:
    flaky = Flaky(size=2)
    assert [flaky.fails(key, "flaky-1") for key in ("a", "b", "c", "b", "a")] == [
        True,
        True,
        True,
        False,
        True,
    ]
