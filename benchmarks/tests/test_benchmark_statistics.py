"""What values tell: against published figures, and against simulated runs whose truth is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.estimates import Estimate, TooFew, mean_estimate, outliers, percentile_estimate
from benchmarks.paired import Comparison, Conclusion, compare, judged, signed_rank
from benchmarks.statistics import MINIMUM, holm
from benchmarks.unpaired import mann_whitney

# Depression scores of nine patients before and after (Hollander and Wolfe 1973, p. 29).
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def a_run(seed: int, *, gap: float, pairs: int = 300) -> Comparison:
    """Two contenders with latencies that scatter by 30 % under one drift that both meet."""
    chance = np.random.default_rng(seed)
    drift = np.cumsum(chance.normal(0, 0.03, pairs)) + 0.3 * np.sin(np.arange(pairs) / 40)
    first = 800 * np.exp(drift + chance.normal(0, 0.3, pairs))
    second = 800 * (1 + gap) * np.exp(drift + chance.normal(0, 0.3, pairs))
    return judged([compare(first, second)])[0]


@pytest.mark.slow
def test_ten_percent_under_shared_drift_are_found_and_equals_are_left_in_peace() -> None:
    apart = Counter(a_run(seed, gap=0.1).conclusion for seed in range(50))
    equal = Counter(a_run(seed, gap=0.0).conclusion for seed in range(200))

    assert apart[Conclusion.LOWER] >= 40 and apart[Conclusion.HIGHER] == 0
    assert equal[Conclusion.LOWER] + equal[Conclusion.HIGHER] <= 10


def test_the_signed_rank_test_agrees_with_its_textbook() -> None:
    p_value, effect = signed_rank(np.array(BEFORE) - np.array(AFTER))

    # V = 40 of 45; R: wilcox.test(paired = TRUE, exact = FALSE)
    assert (round(p_value, 4), round(effect, 4)) == (0.0440, round((40 - 5) / 45, 4))


def test_pairs_without_any_difference_are_the_same() -> None:
    (found,) = judged([compare([2.0] * 20, [2.0] * 20)])

    assert (found.conclusion, found.p_value, found.ratio) == (Conclusion.SAME, 1.0, 1.0)


def test_few_pairs_are_never_a_verdict_however_far_apart() -> None:
    (found,) = judged([compare([1.0, 1.1, 1.2], [100.0, 101.0, 102.0])])

    assert found.conclusion == Conclusion.INCONCLUSIVE and found.more == 9


def test_what_can_not_be_told_says_about_how_many_more_are_needed() -> None:
    found = a_run(1, gap=0.1, pairs=30)

    assert found.conclusion == Conclusion.INCONCLUSIVE and found.more is not None
    assert 50 <= found.more <= 2_000


def test_a_difference_smaller_than_the_error_of_the_stopwatch_is_refused() -> None:
    pairs = compare(np.linspace(10, 12, 50), np.linspace(11, 13, 50))

    assert judged([pairs], harness_errors=[0.5])[0].conclusion == Conclusion.LOWER
    assert judged([pairs], harness_errors=[1.5])[0].conclusion == Conclusion.REFUSED


def test_several_comparisons_at_once_ask_more_of_each() -> None:
    one = compare(np.linspace(10, 12, 50), np.linspace(11, 13, 50))
    near = replace(one, p_value=0.015)

    assert judged([near])[0].conclusion == Conclusion.LOWER
    assert {found.conclusion for found in judged([near, near])} == {Conclusion.INCONCLUSIVE}


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_the_ratio_is_the_median_of_all_walsh_averages() -> None:
    logs = np.random.default_rng(0).normal(0.1, 1, 21)
    averages = [(logs[i] + logs[j]) / 2 for i in range(21) for j in range(i, 21)]

    found = compare(np.exp(logs), np.ones(21))
    assert np.log(found.ratio) == pytest.approx(np.median(averages))
    assert found.low < found.ratio < found.high


@pytest.mark.parametrize(("percent", "least"), MINIMUM.items())
def test_a_percentile_of_too_few_values_is_not_given(percent: int, least: int) -> None:
    values = np.arange(1.0, least + 1)

    found = percentile_estimate(values, percent, seed=1)
    assert isinstance(found, Estimate) and found.low <= found.value <= found.high
    assert percentile_estimate(values[1:], percent, seed=1) == TooFew(least)
    assert str(TooFew(least)) == f"n/a, needs {least}"


def test_intervals_are_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(2).lognormal(6, 0.3, 100)

    assert mean_estimate(values, seed=1) == mean_estimate(values, seed=1)
    assert mean_estimate(values, seed=1) != mean_estimate(values, seed=2)


def test_the_interval_of_a_median_holds_it_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        values = np.random.default_rng(seed).lognormal(0, 0.5, 60)
        found = percentile_estimate(values, 50, seed=seed)
        held += isinstance(found, Estimate) and found.low <= 1.0 <= found.high

    assert 180 <= held <= 198


def test_outliers_are_flagged_and_equal_values_have_none() -> None:
    assert outliers([1.0, 1.1, 0.9, 1.05, 0.95, 9.0]) == [False] * 5 + [True]
    assert outliers([3.0] * 5) == [False] * 5 and outliers([]) == []


def test_a_regression_is_both_significant_and_large_enough() -> None:
    chance = np.random.default_rng(4)
    before, slower = chance.lognormal(0, 0.2, 200), chance.lognormal(0.2, 0.2, 200)
    barely = np.linspace(1.0, 1.01, 500)

    assert mann_whitney([(slower, before)]).is_regression
    assert mann_whitney([(before, slower)]).is_improvement
    found = mann_whitney([(barely + 0.02, barely)])
    assert found.p_value < 0.001 and not found.is_regression


def test_mann_whitney_agrees_with_its_textbook() -> None:
    # Permeability of human membranes (Hollander and Wolfe 1973, p. 69): W = 35, exact p = 0.2544.
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]

    found = mann_whitney([(term, early)])
    assert found.effect == pytest.approx(2 * 35 / 50 - 1)
    assert found.p_value == pytest.approx(0.2544, abs=0.015)


def test_prompts_of_different_length_do_not_hide_a_regression_in_each() -> None:
    chance = np.random.default_rng(5)
    strata = [
        (scale * chance.lognormal(0.15, 0.1, 15), scale * chance.lognormal(0, 0.1, 15))
        for scale in (1, 20, 400)
    ]
    pooled = [np.concatenate(side) for side in zip(*strata, strict=True)]

    assert mann_whitney(strata).is_regression
    assert not mann_whitney([(pooled[0], pooled[1])]).is_regression
