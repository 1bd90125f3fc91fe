"""Prompts as people write them: YAML (a list, or a mapping with the list as `prompts`) or JSON
lines, in a file or pasted.

Each has a `text`, and may have a `name`, a `system` text and checks: `contains`, `regex`, `exact`
(a text or a list of texts) and `json_schema` (a mapping).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.checks import BadCheck, Check, Kind
from benchmarks.plan_rules import LONGEST_NAME, MOST_BYTES, MOST_PROMPTS
from benchmarks.prompts import BUILT_IN, Prompt

FIELDS = {"name", "text", "system", *Kind}


class BadPrompts(ValueError):
    """There are no prompts that can be used; the message says where and why."""


def named_prompts(text: str) -> tuple[Prompt, ...]:
    """Built-in ones by their short names, as in `simple,complex`, or those of the file that is
    called so. Raises BadPrompts."""
    names = [name.strip() for name in text.split(",")]
    if all(name in BUILT_IN for name in names):
        return tuple(BUILT_IN[name] for name in dict.fromkeys(names))
    return read_prompts(Path(text))


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Raises BadPrompts."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadPrompts(f"{path} is larger than {MOST_BYTES:,} bytes.")
        content = path.read_bytes()
    except OSError as error:
        raise BadPrompts(f"{path} can't be read: {error.strerror}.") from None
    return parse_prompts(content, str(path))


def parse_prompts(content: bytes | str, where: str = "That") -> tuple[Prompt, ...]:
    """`where` is what messages call it. Raises BadPrompts."""
    if len(content) > MOST_BYTES:
        raise BadPrompts(f"{where} is larger than {MOST_BYTES:,} bytes.")
    try:
        rows = _rows(content if isinstance(content, str) else content.decode("utf-8-sig"))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BadPrompts(f"{where} can't be read: {' '.join(str(error).split())}.") from None
    if rows is None:
        raise BadPrompts(f"{where} holds no list of prompts.")
    if not 0 < len(rows) <= MOST_PROMPTS:
        raise BadPrompts(f"{where}: from 1 to {MOST_PROMPTS} prompts are wanted, not {len(rows)}.")
    found = tuple(prompt_of(row, f"Prompt {number}") for number, row in enumerate(rows, 1))
    names = [prompt.name for prompt in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadPrompts(f"{where}: two prompts are called {twice!r}.")
    return found


def prompt_of(row: Any, where: str) -> Prompt:
    """From a mapping; `where` is its name if it has none. Raises BadPrompts."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        raise BadPrompts(f"{where} has no text.")
    if unknown := set(row) - FIELDS:
        raise BadPrompts(f"{where}: nobody knows what {', '.join(map(str, unknown))} means.")
    name, system = row.get("name", where), row.get("system", "")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise BadPrompts(f"{where}: a name has from 1 to {LONGEST_NAME} characters.")
    if not isinstance(system, str):
        raise BadPrompts(f"{where}: system is a text.")
    try:
        return Prompt(name, row["text"], system=system, checks=tuple(_checks(row)))
    except BadCheck as error:
        raise BadPrompts(f"{where}: {error}.") from None
    except RecursionError:
        raise BadPrompts(f"{where}: its json_schema is nested too deeply.") from None
    except TypeError:  # YAML's names may be numbers and dates, JSON's may not
        raise BadPrompts(f"{where}: the names in a json_schema are texts (quote them).") from None


def _rows(text: str) -> list[Any] | None:
    """None where that is no list. Raises ValueError and YAMLError."""
    if _is_lines(text):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):  # a few lines of them make a text of terabytes
            raise ValueError("aliases (*name) are not taken")
    content = yaml.load(text, Loader=yaml.CSafeLoader)  # noqa: S506 (it is the safe one)
    rows = content.get("prompts") if isinstance(content, dict) else content
    return rows if isinstance(rows, list) else None


def _is_lines(text: str) -> bool:
    """JSON lines begin with a whole object; one with the list as `prompts` is all there is."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        found = json.loads(first)
    except ValueError:
        return False
    return isinstance(found, dict) and "prompts" not in found


def _checks(row: dict[str, Any]) -> Iterator[Check]:
    for kind in Kind:
        value = row.get(kind)
        if value is None:
            continue
        if kind == Kind.JSON_SCHEMA:
            if not isinstance(value, dict):
                raise BadCheck("json_schema is a mapping")
            yield Check(kind, json.dumps(value, sort_keys=True, default=str))
            continue
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str) or not text:
                raise BadCheck(f"{kind.value} is a text or a list of texts (quote numbers)")
            yield Check(kind, text)
