"""The samples as a CSV file: a row per call, the columns of the JSON file's `samples`."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from benchmarks.result_files import BadOutput
from benchmarks.results import samples
from benchmarks.run import Run

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_destination(name: str) -> Path:
    """Raises BadOutput now rather than after an hour of calls."""
    path = Path(name)
    if path.exists():
        raise BadOutput(f"{path} exists already, and results are never overwritten.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadOutput(f"{path.parent} is not a directory that can be written to.")
    return path


def save_csv(path: Path, run: Run) -> Path:
    """Raises OSError, also where the name has been taken since."""
    rows = samples(run)
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return path


def _cell(value: Any) -> Any:
    """What a model wrote must not become a formula of whoever opens the file."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
