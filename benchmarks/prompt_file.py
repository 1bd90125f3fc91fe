"""Prompts from a file: YAML (a list, or a mapping with the list as `prompts`) or JSON lines.

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
from benchmarks.prompts import Prompt

MOST_BYTES = 2**20
MOST_PROMPTS = 500
LONGEST_NAME = 64
FIELDS = {"name", "text", "system", *Kind}


class BadPrompts(ValueError):
    """The file holds no prompts that can be used; the message says where and why."""


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Raises BadPrompts."""
    rows = _rows(path)
    if not rows or len(rows) > MOST_PROMPTS:
        raise BadPrompts(f"{path}: from 1 to {MOST_PROMPTS} prompts are wanted, not {len(rows)}.")
    found = tuple(_prompt(row, number) for number, row in enumerate(rows, 1))
    names = [prompt.name for prompt in found]
    for name in names:
        if names.count(name) > 1:
            raise BadPrompts(f"{path}: two prompts are called {name!r}.")
    return found


def _rows(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadPrompts(f"{path} is larger than {MOST_BYTES:,} bytes.")
        text = path.read_text("utf-8")
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        content = yaml.safe_load(text)
    except OSError as error:
        raise BadPrompts(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise BadPrompts(f"{path} can't be read: {' '.join(str(error).split())}.") from None
    rows = content.get("prompts") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise BadPrompts(f"{path} holds no list of prompts.")
    return rows


def _prompt(row: Any, number: int) -> Prompt:
    where = f"Prompt {number}"
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
