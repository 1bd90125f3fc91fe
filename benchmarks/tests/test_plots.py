"""Plots: what they draw, and that their tables say the same."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from benchmarks.plots.axes import Scale, dollars, fitting, from_zero, milliseconds
from benchmarks.plots.calls import Call
from benchmarks.plots.cumulative import cumulative
from benchmarks.plots.distribution import distribution
from benchmarks.plots.price import price
from benchmarks.plots.sheet import figures
from benchmarks.plots.sweep import sweep
from benchmarks.tests.samples import OPENAI


def call(ms: float = 1000.0, **changes: object) -> Call:
    fields = {"ok": True, "level": 1, "ttft_ms": ms / 2, "cost_usd": 0.001, **changes}
    return Call(contender=OPENAI, prompt="Simple", latency_ms=ms, **fields)  # type: ignore[arg-type]


def hundred() -> list[Call]:
    return [call(ms) for ms in range(10, 1010, 10)]


def test_the_histogram_counts_every_call_once() -> None:
    figure = distribution({"One": hundred()}, "latency_ms")

    assert figure is not None
    assert sum(int(n) for n in re.findall(r"(\d+) calls?</title>", figure.svg)) == 100
    assert figure.table.rows == [("One", "100", "500 ms", "900 ms", "950 ms", "needs 368")]


def test_a_call_far_from_all_others_is_counted_beyond_the_edge() -> None:
    figure = distribution({"One": [*hundred(), *hundred(), call(ms=60_000)]}, "latency_ms")

    assert figure is not None and "1 call lies beyond the right edge" in figure.note
    assert sum(int(n) for n in re.findall(r"(\d+) calls?</title>", figure.svg)) == 200


def test_a_failed_call_was_never_answered() -> None:
    calls = [*(call(ms=100.0 + n) for n in range(9)), call(ok=False)]
    figure = cumulative({"One": calls}, "latency_ms")

    assert figure is not None
    assert figure.table.headers[-1] == "100 ms" and figure.table.rows[0][-1] == "10%"
    (drawn,) = re.findall(r'<path d="([^"]+)"', figure.svg)
    heights = [float(point.split()[1]) for point in drawn[1:].split("L")]
    top, bottom = 14.0, 220.0
    assert min(heights) == pytest.approx(bottom - 0.9 * (bottom - top), abs=0.1)


def test_ten_thousand_calls_are_drawn_with_few_points() -> None:
    figure = cumulative({"One": hundred() * 100}, "latency_ms")

    assert figure is not None and len(figure.svg) < 12_000


def test_a_cost_that_is_not_known_is_not_drawn() -> None:
    both = {"One": hundred(), "Two": [call(cost_usd=None), call()]}
    figure = price(both)

    assert figure is not None
    assert figure.table.rows[0] == ("One", "100 ms", "505 ms", "900 ms", "$1.00")
    assert figure.table.rows[1][-1] == "no price"
    assert price({"Two": both["Two"]}) is None


def test_a_sweep_needs_two_numbers_of_calls_at_a_time() -> None:
    calls = [call(ms=100 * level, level=level) for level in (1, 4, 16) for _ in range(80)]
    figure = sweep({"One": calls, "Two": calls[:80]}, "latency_ms")

    assert figure is not None and figure.table.headers == ("At a time", "1", "4", "16")
    assert figure.table.rows == [
        ("One", "100 ms · 100 ms", "400 ms · 400 ms", "1.6 s · 1.6 s"),
        ("Two", "100 ms · 100 ms", "–", "–"),
    ]
    assert "One, 16 at a time: 1.6 s" in figure.svg
    assert sweep({"One": calls[:80]}, "latency_ms") is None


def test_names_are_text_and_never_markup() -> None:
    for figure in figures({'"><script>alert(1)</script>': hundred()}):
        assert "<script" not in figure.svg and "&lt;script" in figure.svg + str(figure.table)
        ElementTree.fromstring(figure.svg)


@pytest.mark.parametrize("calls", [[], [call(ok=False)]])
def test_nothing_measured_is_no_figure(calls: list[Call]) -> None:
    assert figures({"One": calls}) == []


@pytest.mark.parametrize("ms", [0.0, 0.001, 1e7])
def test_extreme_times_are_drawn(ms: float) -> None:
    for figure in figures({"One": [call(ms=ms)] * 3}):
        assert "nan" not in figure.svg and "inf" not in figure.svg


def test_scales_have_round_numbers() -> None:
    assert from_zero([900.0], 0, 100).ticks() == [0, 250, 500, 750]
    assert fitting([1.0, 100.0], 0, 100).ticks() == [1, 2, 5, 10, 20, 50, 100]
    assert fitting([0.001, 100.0], 0, 100).ticks() == [0.001, 0.01, 0.1, 1, 10, 100]
    assert Scale(0, 10, 0, 100).at(99) == 100
    assert (milliseconds(900)(250), milliseconds(9000)(2500)) == ("250 ms", "2.5 s")
    assert [dollars(at) for at in (0, 0.00025, 12.5, 2500)] == ["$0", "$0.00025", "$12.5", "$2,500"]
