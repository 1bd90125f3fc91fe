"""From values to places on the paper, and round numbers along the edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from benchmarks.plots.svg import line, text

WIDTH = 440.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 14.0, 30.0
TICKS, MOST_TICKS = 4, 7
LOG_FROM = 20.0  # values that differ by more than this factor need a logarithmic scale

Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Scale:
    """Places `low` at `start` and `high` at `end`, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return _decades(self.low, self.high) if self.is_log else _round(self.low, self.high)


def from_zero(values: Sequence[float], start: float, end: float) -> Scale:
    """A linear scale from 0 to a little above the highest."""
    return Scale(0, max(*values, 1e-9, 0) * 1.05, start, end)


def fitting(values: Sequence[float], start: float, end: float) -> Scale:
    """From 0, or by logarithm where the values lie far apart."""
    above = [value for value in values if value > 0]
    if not above or max(above) / min(above) <= LOG_FROM:
        return from_zero(above or [1.0], start, end)
    return Scale(min(above) / 1.5, max(above) * 1.5, start, end, is_log=True)


def _round(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    unit = float(10 ** math.floor(math.log10(rough)))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 10, 100; with 2 and 5 between them where that is not too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [10.0**power * unit for power in powers for unit in (1, 2, 5)]
    ticks = [at for at in fine if low <= at <= high]
    return ticks if len(ticks) <= MOST_TICKS else [at for at in ticks if at in fine[::3]]


def horizontal(scale: Scale, bottom: float, top: float, show: Format) -> list[SafeString]:
    """The edge below, with a thin line up from each round number."""
    ticks = scale.ticks()
    lines = [line(scale.at(at), bottom, scale.at(at), top, "grid") for at in ticks]
    words = [text(scale.at(at), bottom + 19, show(at), "", "middle") for at in ticks]
    return [*lines, *words]


def vertical(scale: Scale, left: float, right: float, show: Format) -> list[SafeString]:
    """The edge at the left, with a thin line across from each round number."""
    ticks = scale.ticks()
    lines = [line(left, scale.at(at), right, scale.at(at), "grid") for at in ticks]
    words = [text(left - 6, scale.at(at) + 4, show(at), "", "end") for at in ticks]
    return [*lines, *words]


def milliseconds(high: float) -> Format:
    """One unit for a whole axis: seconds where it reaches two of them."""
    if high < 2000:
        return lambda value: f"{value:g} ms"
    return lambda value: f"{value / 1000:g} s"


def percent(value: float) -> str:
    return f"{value:.0%}"


def dollars(value: float) -> str:
    return "$0" if value == 0 else f"${value:.3g}" if value < 1000 else f"${value:,.0f}"
