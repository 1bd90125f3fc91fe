from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from usage.spikes import FEWEST_WEEKS, spike, spike_on

FIRST = date(2026, 1, 5)
BY_WEEKDAY = (40.0, 44.0, 42.0, 45.0, 38.0, 6.0, 4.0)  # USD: weekends are quiet


def ordinary(days: int, seed: int) -> dict[date, float]:
    rng = random.Random(seed)  # noqa: S311
    dates = [FIRST + timedelta(days=n) for n in range(days)]
    return {day: BY_WEEKDAY[day.weekday()] * rng.lognormvariate(0, 0.25) for day in dates}


@pytest.mark.parametrize("seed", range(20))
def test_sixty_ordinary_days_are_silent(seed: int) -> None:
    costs = ordinary(60, seed)

    assert [day for day in costs if spike_on(day, costs)] == []


@pytest.mark.parametrize("ahead", range(7))
def test_a_tenfold_day_fires_whatever_its_weekday(ahead: int) -> None:
    for seed in range(20):
        costs = ordinary(60 + ahead, seed)
        day = max(costs)
        costs[day] = BY_WEEKDAY[day.weekday()] * 10

        found = spike_on(day, costs)
        assert found is not None
        assert found.cost == costs[day]


def test_a_tenfold_day_in_the_past_does_not_hide_the_next() -> None:
    costs = ordinary(60, 1)
    day = max(costs)
    costs[day - timedelta(weeks=2)] = costs[day] = 400.0

    assert spike_on(day, costs)


def test_a_busy_monday_is_not_measured_by_quiet_sundays() -> None:
    history = {FIRST + timedelta(days=n): BY_WEEKDAY[n % 7] for n in range(50)}
    monday = FIRST + timedelta(days=49)

    assert monday.weekday() == 0
    assert spike_on(monday, history) is None


def test_cents_wake_nobody() -> None:
    assert spike([0.01] * 8, 0.90) is None
    assert spike([0.0] * 8, 1.5) is not None


def test_what_has_little_history_can_not_be_unusual() -> None:
    assert spike([1.0] * (FEWEST_WEEKS - 1), 1000.0) is None
    assert spike_on(FIRST, {}) is None


def test_the_score_is_the_one_worked_out_by_hand() -> None:
    # Median 10, deviations 0 1 1 2 4, their median 1: the scale is its floor, 10/3.
    found = spike([10.0, 9.0, 11.0, 8.0, 14.0], 40.0)
    assert found is not None
    assert found.usual == 10.0
    assert found.score == pytest.approx(9.0)
    # Median 10, deviations 0 4 4 5 5, their median 4: the scale is 1.4826 * 4.
    found = spike([10.0, 6.0, 14.0, 5.0, 15.0], 50.0)
    assert found is not None
    assert found.score == pytest.approx(40 / 5.9304)
