"""Where results go: never over what is there, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

JSON = dict[str, Any]


class BadOutput(ValueError):
    """The results can't be written there; the message says why."""


def destination(output: str, at: datetime) -> Path:
    """The file for a run that starts at `at`. A name that ends in .json is a file, any other a
    directory, made if need be. Raises BadOutput now rather than after an hour of calls."""
    path = Path(output)
    try:
        if path.suffix != ".json":
            path.mkdir(parents=True, exist_ok=True)
            path = _free(path / f"benchmark_results_{at:%Y%m%d_%H%M%S}.json")
        elif path.exists():
            raise BadOutput(f"{path} exists already, and results are never overwritten.")
    except OSError as error:
        raise BadOutput(f"{path} can't be used for results: {error.strerror}.") from None
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadOutput(f"{path.parent} is not a directory that can be written to.")
    return path


def save(path: Path, document: JSON) -> Path:
    """Writes the file whole or not at all; should the name have been taken since, under the
    next free one, which is returned. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".benchmark_", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2, ensure_ascii=False)
            file.write("\n")
        target = _claim(path)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def _claim(path: Path) -> Path:
    while True:
        target = _free(path)
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            continue
        return target


def _free(path: Path) -> Path:
    target, number = path, 2
    while target.exists():
        target = path.with_stem(f"{path.stem}_{number}")
        number += 1
    return target
