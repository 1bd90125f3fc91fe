"""Prompts of one's own, and whether an answer to them is right."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from benchmarks.checks import BadCheck, Check, Kind, failed
from benchmarks.plan import Plan
from benchmarks.plan_json import plan_from_json, plan_to_json
from benchmarks.prompt_file import BadPrompts, named_prompts, read_prompts
from benchmarks.prompts import PROMPTS
from benchmarks.tests.samples import OPENAI

YAML = """
prompts:
  - name: Capital
    text: What is the capital of France?
    contains: [paris]
    regex: ^Paris\\b
  - text: Give me a person as JSON.
    system: You answer in JSON.
    json_schema:
      type: object
      required: [name]
      properties: {name: {type: string, pattern: "^[A-Z]"}}
"""


def schema(**fields: Any) -> Check:
    return Check(Kind.JSON_SCHEMA, json.dumps(fields))


def test_prompts_come_from_yaml_with_their_checks(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(YAML)

    capital, person = read_prompts(path)

    assert (capital.name, person.name) == ("Capital", "Prompt 2")
    assert person.system == "You answer in JSON."
    assert failed(capital.checks, "Paris it is.") == ()
    assert failed(capital.checks, "It is Lyon.") == ("contains paris", "regex ^Paris\\b")
    assert failed(person.checks, '```json\n{"name": "Ada"}\n```') == ()
    assert len(failed(person.checks, '{"name": "ada"}')) == 1
    assert len(failed(person.checks, "Ada")) == 1


def test_prompts_come_from_json_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"text": "One?", "exact": "1"}\n\n{"text": "Two?", "exact": ["2", " 2 "]}\n')

    one, two = read_prompts(path)

    assert failed(one.checks, " 1\n") == () and failed(one.checks, "1.") == ("exact 1",)
    assert len(two.checks) == 2


def test_built_in_prompts_have_short_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"prompts": [{"text": "One?"}]}')

    assert named_prompts("complex, simple") == (PROMPTS[2], PROMPTS[0])
    assert [prompt.text for prompt in named_prompts(str(path))] == ["One?"]


def test_a_stored_plan_keeps_its_prompts_and_checks(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(YAML)
    plan = Plan(contenders=(OPENAI,), seed=1, prompts=read_prompts(path), rate=2.5, stream=False)

    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "can't be read"),
        ("just text", "no list of prompts"),
        ("[]", "from 1 to 500"),
        ("- name: x", "Prompt 1 has no text"),
        ("- {text: a, contain: b}", "contain"),
        ("- {text: a, contains: 5}", "quote numbers"),
        ("- {text: a, regex: '(a'}", "RE2"),
        ("- {text: a, regex: '(?=a)'}", "RE2"),
        ("- {text: a, json_schema: {type: 5}}", "no JSON Schema"),
        ("- {text: a, json_schema: {pattern: '(?=a)'}}", "RE2"),
        ("- {text: a, name: x}\n- {text: b, name: x}", "two prompts"),
        ("- {text: a, json_schema: {1: a, b: c}}", "quote them"),
        ("- {text: a, json_schema: " + "{not: " * 600 + "{}" + "}" * 601, "deep"),
        ("a: &a [1]\nprompts: *a", "aliases"),
        ("- {text: a}\n" * 501, "from 1 to 500"),
        ("!!python/object/apply:os.system ['true']", "can't be read"),
    ],
)
def test_what_can_not_be_used_is_refused_in_words(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(content)

    with pytest.raises(BadPrompts, match=message):
        read_prompts(path)


def test_no_pattern_takes_longer_than_its_text_is_long() -> None:
    answer = "a" * 5_000 + "!"
    checks = (
        Check(Kind.REGEX, "^(a+)+$"),
        schema(type="string", pattern="^(a|a)*$"),
        schema(patternProperties={"^(a+)+$": False}),
        schema(patternProperties={"^(a+)+$": True}, additionalProperties=False),
    )
    began = perf_counter()

    assert not checks[0].passes(answer) and not checks[1].passes(json.dumps(answer))
    assert checks[2].passes(json.dumps({answer: 1})) and not checks[3].passes(
        json.dumps({answer: 1})
    )
    assert perf_counter() - began < 5  # Python's own patterns would need until the end of time


def test_properties_by_pattern_and_additional_ones_are_told_apart() -> None:
    check = schema(
        properties={"id": {"type": "integer"}},
        patternProperties={"^x_": {"type": "string"}},
        additionalProperties={"type": "boolean"},
    )

    assert check.passes('{"id": 1, "x_a": "b", "other": true}')
    for wrong in ('{"id": "1"}', '{"x_a": 1}', '{"other": 1}'):
        assert not check.passes(wrong)


def test_a_schema_from_elsewhere_is_never_fetched() -> None:
    check = Check(Kind.JSON_SCHEMA, '{"$ref": "http://127.0.0.1:9/schema.json"}')

    assert not check.passes("{}")


def test_deeply_nested_answers_fail_instead_of_breaking_the_run() -> None:
    assert not schema(type="object").passes("[" * 100_000)


def test_a_bad_pattern_is_told_when_it_is_written() -> None:
    with pytest.raises(BadCheck):
        Check(Kind.REGEX, "(")
