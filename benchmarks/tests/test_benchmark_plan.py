"""Plans and options: what is measured, in which order, and what is refused."""

from __future__ import annotations

import argparse
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from benchmarks.options import BadOption, add_options, wanted
from benchmarks.plan import Contender, Plan
from benchmarks.plan_rules import BadPlan, checked
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.slo import Slo
from benchmarks.tests.samples import ANTHROPIC, GOOGLE, OPENAI

ALL = (OPENAI, GOOGLE, ANTHROPIC)


def test_one_seed_gives_one_order_and_another_seed_another() -> None:
    def orders(seed: int) -> list[Contender]:
        return [step.contender for step in Plan(contenders=ALL, seed=seed, runs=9).steps()]

    assert orders(1) == orders(1) != orders(2)


def test_each_contender_has_its_turn_in_each_round() -> None:
    steps = Plan(contenders=ALL, seed=3, runs=4).steps()
    rounds = [steps[at : at + 3] for at in range(0, len(steps), 3)]

    assert len(rounds) == 1 + len(PROMPTS) * 4
    assert all({step.contender for step in one} == set(ALL) for one in rounds)
    assert all(len({(step.prompt, step.run) for step in one}) == 1 for one in rounds)
    assert [step.order for step in steps] == list(range(len(steps)))


def test_warm_ups_come_first_and_are_marked() -> None:
    steps = Plan(contenders=ALL, seed=3, runs=1, warmup=2).steps()

    assert [step.cold for step in steps] == [True] * 6 + [False] * 9


def test_shards_share_all_calls_and_keep_pairs_together() -> None:
    plan = Plan(contenders=ALL, seed=3, runs=5, shards=3, levels=(7,))
    shares = [plan.steps_of(shard) for shard in range(3)]

    assert sorted(step.order for share in shares for step in share) == list(
        range(len(plan.steps()))
    )
    for share in shares:
        blocks = [step.block for step in share]
        assert all(blocks.count(block) == len(ALL) for block in blocks)
        assert sum(step.cold for step in share) == len(ALL)
    assert [plan.at_a_time(7, shard) for shard in range(3)] == [3, 2, 2]


def test_the_model_is_named_only_where_two_of_one_provider_compete() -> None:
    other = Contender("openai", "gpt-4o")
    plan = Plan(contenders=(OPENAI, other, GOOGLE), seed=0)

    assert [plan.label(contender) for contender in plan.contenders] == [
        "openai gpt-4o-mini",
        "openai gpt-4o",
        "google",
    ]


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    return parser.parse_args(arguments)


def test_models_are_added_to_the_providers_that_they_belong_to() -> None:
    options = parse("--models", "openai=gpt-4o", "openai=gpt-5", "--providers", "openai,google")

    assert wanted(options.providers, options.models) == [
        Contender("openai", "gpt-4o"),
        Contender("openai", "gpt-5"),
        Contender("google", ""),
    ]


def test_a_model_of_a_provider_that_is_left_out_is_refused() -> None:
    with pytest.raises(BadOption, match="google"):
        wanted(("openai",), [("google", "gemini-2.5-pro")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--runs", "0"), "a whole number from 1 to 10000"),
        (("--runs", "many"), "a whole number"),
        (("--warmup", "-1"), "a whole number from 0"),
        (("--timeout", "nan"), "more than 0"),
        (("--providers", "openai,mistral"), "'mistral'"),
        (("--max-cost", "nan"), "US dollars"),
        (("--slo", "ttft=fast"), "ttft=MILLISECONDS"),
        (("--slo", "p99=3"), "ttft=MILLISECONDS"),
        (("--providers", ","), "Supported"),
        (("--models", "gpt-4o"), "PROVIDER=MODEL"),
        (("--models", "google=gpt-4o"), "a model of openai"),
    ],
)
def test_an_option_out_of_range_is_refused_in_words(
    arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(argparse.ArgumentError, match=message):
        parse(*arguments)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompts": (Prompt("half", "\ud800"),)}, "prompts"),
        ({"prompts": (Prompt("long", "x" * 2**19), Prompt("too", "x" * 2**19))}, "prompts"),
        ({"prompts": ()}, "prompts"),
        ({"contenders": ()}, "contenders"),
        ({"levels": ()}, "concurrency"),
        ({"levels": (1, 300)}, "concurrency"),
        ({"levels": (2, 8), "shards": 4}, "workers"),
        ({"levels": (2,), "rate": 1.0}, "rate"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_cost": Decimal(0)}, "max_cost"),
        ({"slo": Slo(ttft=5), "stream": False}, "slo"),
    ],
)
def test_a_plan_that_can_t_be_names_its_field(changes: dict[str, Any], field: str) -> None:
    good = Plan(contenders=(Contender("openai", "gpt-4o"),), seed=1)
    assert checked(good) is good

    with pytest.raises(BadPlan) as caught:
        checked(replace(good, **changes))
    assert caught.value.field == field
