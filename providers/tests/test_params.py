from __future__ import annotations

from typing import Any

import pytest

from providers.params import InvalidParams, check_params


def test_good_parameters_pass_and_nulls_are_dropped() -> None:
    given = {"temperature": 0.5, "max_tokens": 10, "stop": ["x"], "seed": None}

    assert check_params(given) == {"temperature": 0.5, "max_tokens": 10, "stop": ["x"]}


@pytest.mark.parametrize(
    "params",
    [
        {"heat": 1},
        {"temperature": 2.1},
        {"temperature": True},
        {"temperature": float("nan")},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"stop": "x"},
        {"stop": [""]},
        {"seed": 2**40},
        {"reasoning_effort": "extreme"},
        {"extra": []},
        {"extra": {"x": float("inf")}},
        {"extra": {"x": "\0"}},
        {"extra": {"x": "\ud800"}},
        {"extra": {"x": "y" * 30_000}},
    ],
)
def test_bad_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams):
        check_params(params)
