"""Is this day unusual? A robust z-score against the same weekday's history.

Median and MAD instead of mean and deviation, so that one wild day in the past does not hide the
next: z = (x - median) / (1.4826 · MAD), where 1.4826 makes the MAD of a normal distribution its
standard deviation (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993). MADs of few
days are too small by chance, so the scale has a floor of a third of the median.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

NORMAL = 1.4826
THRESHOLD = 6.0
FEWEST_WEEKS = 4
WEEKS = 12
FLOOR = 1 / 3  # of the median: nothing below three times the usual is a spike
LEAST_EXCESS = 1.0  # USD: below that nobody wants to be woken


@dataclass(frozen=True, slots=True)
class Spike:
    cost: float
    usual: float
    score: float


def spike_on(day: date, costs: Mapping[date, float]) -> Spike | None:
    """`costs` are USD by day; a day without calls after the first one has cost 0."""
    return spike(same_weekday(day, costs), costs.get(day, 0.0))


def same_weekday(day: date, costs: Mapping[date, float]) -> list[float]:
    if not costs:
        return []
    first = min(costs)
    days = [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    return [costs.get(earlier, 0.0) for earlier in days if earlier >= first]


def spike(history: Sequence[float], cost: float) -> Spike | None:
    """None too where there are fewer than FEWEST_WEEKS to compare with."""
    if len(history) < FEWEST_WEEKS:
        return None
    usual = median(history)
    deviation = median(abs(value - usual) for value in history)
    scale = max(NORMAL * deviation, FLOOR * usual, LEAST_EXCESS / THRESHOLD)
    score = (cost - usual) / scale
    return Spike(cost, usual, score) if score > THRESHOLD else None
