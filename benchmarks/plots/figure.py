"""What a page gets of a plot: the drawing, what its marks mean, and the same in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from benchmarks.plots.svg import drawing, mark, path, tone


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first column names the row, the others are right-aligned."""

    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def labelled(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """(name, [(column, cell), …]) of each row: on a narrow screen a cell names its column."""
        return [(row[0], list(zip(self.headers[1:], row[1:], strict=True))) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend."""

    name: str
    swatch: SafeString


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`key` is unique on its page. `note` says what the drawing can't."""

    key: str
    title: str
    svg: SafeString
    legend: list[Entry]
    table: Table
    note: str = ""


def legend(names: list[str], *, lines: bool) -> list[Entry]:
    """By the form of each contender's line, or of its mark."""
    return [Entry(name, _swatch(number, lines)) for number, name in enumerate(names)]


def _swatch(number: int, lines: bool) -> SafeString:
    shown = (
        path([(0, 8), (28, 8)], tone(number), "")
        if lines
        else mark(number, 14, 8, tone(number), "")
    )
    return drawing(16, "", shown, width=28)
