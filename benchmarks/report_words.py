"""Names and numbers as the report writes them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from benchmarks.plan import Contender
from benchmarks.run import Run
from providers import registry

WIDTH = 80
RULE, THIN_RULE = "=" * WIDTH, "-" * WIDTH


def heading(run: Run, contender: Contender) -> str:
    label = run.plan.label(contender)
    provider, space, model = label.partition(" ")
    return provider.upper() + space + model + (" (simulated)" * run.is_simulated(contender))


def name(provider: str, is_simulated: bool = False) -> str:
    return registry.label(provider) + (" (simulated)" if is_simulated else "")


def seconds(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def dollars(cost: Decimal | None) -> str:
    """Six decimals as in price lists; nine where six would show a cost as none."""
    if cost is None:
        return "n/a"
    return f"{cost:.9f}" if 0 < cost < Decimal("0.000001") else f"{cost:.6f}"


def printable(text: str) -> str:
    """One line, without anything that could steer the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
