"""What the plots of the usage page draw, and how a period compares with the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from usage.cells import Cell
from usage.daily import Dimension
from usage.summary import Cells, Figures, Group, by_value


def chart_data(cells: Cells, days: Sequence[Group]) -> dict[str, Any]:
    """Cost by day for each provider, and latency percentiles by day (null: nothing measured)."""
    return {
        "days": [day.key for day in days],
        "cost": [_series(cells, group, days) for group in by_value(cells, Dimension.PROVIDER)],
        "latency": [
            {"label": "Median", "values": [_whole(day.figures.latency_p50) for day in days]},
            {
                "label": "95th percentile",
                "values": [_whole(day.figures.latency_p95) for day in days],
            },
        ],
    }


def _series(cells: Cells, provider: Group, days: Sequence[Group]) -> dict[str, Any]:
    found = (cells.get((Dimension.PROVIDER, date.fromisoformat(d.key), provider.key)) for d in days)
    return {
        "label": provider.label,
        "values": [float((cell or Cell()).cost_usd) for cell in found],
    }


def _whole(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)


MANY_TIMES = 10  # from here on percent are hard to read
COMPARED: dict[str, Callable[[Figures], Any]] = {
    "cost": lambda figures: figures.cost_usd,
    "calls": lambda figures: figures.calls,
    "tokens": lambda figures: figures.tokens,
    "latency": lambda figures: figures.latency_p50,
    "first_token": lambda figures: figures.first_token_p50,
}


def deltas(now: Figures, before: Figures) -> dict[str, str]:
    """Changes against the period before ("+12%", "52 times"), where both can be compared."""
    found = {}
    for name, figure in COMPARED.items():
        new, old = figure(now), figure(before)
        if new is not None and old:
            found[name] = _change(float(new) / float(old))
    return found


def _change(times: float) -> str:
    if times >= MANY_TIMES:
        return f"{times:,.0f} times"
    return f"{times - 1:+.0%}".replace("-", "−")
