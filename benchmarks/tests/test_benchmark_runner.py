"""Measuring, over real HTTP to the simulator, with real rows in the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from benchmarks import store
from benchmarks.execution import execute
from benchmarks.keys import Keys, gather, of_simulator, of_user
from benchmarks.models import RunStatus
from benchmarks.plan import Contender, Plan, Step
from benchmarks.prompts import PROMPTS, Prompt
from benchmarks.run import Run, Source
from benchmarks.sample import Sample
from benchmarks.simulation import timing
from benchmarks.simulator.server import SimulatorProcess
from benchmarks.summary import harness_error
from benchmarks.tests.samples import OPENAI
from credentials.tests.factories import CredentialFactory
from usage.models import UsageRecord

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]
WANTED = ("openai", "google", "anthropic")
SIMPLE = (PROMPTS[0],)


class Silence:
    """Progress that nobody watches; `stop_at` is the number of calls after which Ctrl-C comes."""

    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at = stop_at

    def initialized(self, contender: Contender, refusal: str) -> None: ...

    def started(self, step: Step) -> None: ...

    def finished(self, sample: Sample) -> None:
        self.stop_at -= 1
        if self.stop_at == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as started:
        yield started


def run_with(keys: Keys, owner: User | None = None, stop_at: int = -1, **plan: Any) -> Run:
    plan = {"runs": 1, "warmup": 0, "prompts": SIMPLE, "seed": 5, **plan}
    row = store.create(
        plan=Plan(contenders=tuple(keys.selections), **plan),
        source=keys.source,
        owner_id=owner.pk if owner else None,
        simulated=keys.simulated,
    )
    return execute(row.pk, keys=keys, progress=Silence(stop_at))


def simulated(url: str, *providers: str) -> Keys:
    wanted = [Contender(provider, "") for provider in providers or WANTED]
    return gather(Source.SIMULATOR, of_simulator(url), wanted)


def with_key(keys: Keys, provider: str, key: str) -> Keys:
    """These keys, but for `provider` another one, for instance one that asks for a fault."""
    selections = {
        contender: replace(found, _system_key=key) if contender.provider == provider else found
        for contender, found in keys.selections.items()
    }
    return replace(keys, selections=selections)


def test_each_call_has_its_row_in_the_ledger(alice: User, simulator: Any) -> None:
    own = {name: CredentialFactory.create(owner=alice, provider=name) for name in WANTED}
    wanted = [Contender(provider, "") for provider in WANTED]

    run = run_with(gather(Source.USER, of_user(alice), wanted), alice, warmup=1)

    rows = UsageRecord.objects.all()
    assert {row.pk for row in rows} == {sample.record_id for sample in run.samples}
    assert len(rows) == 6 and len(run.cold) == len(run.measured) == 3
    for row in rows:
        assert (row.surface, row.user_id, row.paid_by) == ("benchmark", alice.pk, "user")
        assert row.credential_id == own[row.provider].pk and row.is_simulated
        assert row.cost_usd is not None and row.input_tokens and row.output_tokens


def test_what_is_measured_is_what_the_simulator_did(process: SimulatorProcess) -> None:
    run = run_with(simulated(process.url), warmup=1, runs=4)

    for sample in run.measured:
        assert sample.truth is not None and sample.ttft_ms is not None
        assert sample.last_token_ms is not None
        assert sample.truth.ttft_ms <= sample.ttft_ms <= sample.last_token_ms
        assert sample.truth.latency_ms <= sample.last_token_ms <= sample.latency_ms
        assert sample.text.startswith("Paris")
    error = harness_error(run)
    # 2 to 3 ms on a machine with nothing else to do; tests share theirs with other tests.
    assert error is not None and error.calls == 12 and error.last_token.p50 < 250


def test_the_clock_starts_when_the_request_leaves(process: SimulatorProcess) -> None:
    (sample,) = run_with(simulated(process.url, "openai")).samples

    row = UsageRecord.objects.get(pk=sample.record_id)
    assert sample.prepare_ms > 0 and sample.connect_ms is not None
    before = sample.prepare_ms + sample.connect_ms
    assert sample.latency_ms == pytest.approx(row.latency_ms - before)


def test_a_failed_call_is_a_sample_and_is_not_tried_again(simulator: Any) -> None:
    run = run_with(with_key(simulated(simulator.url), "google", "AIza-sim-503-abcdefgh"), runs=2)

    failed = [sample for sample in run.samples if not sample.ok]
    assert [sample.step.contender.provider for sample in failed] == ["google", "google"]
    assert len(run.samples) == len(simulator.app.log) == 6
    for sample in failed:
        assert "Gemini" in sample.error and sample.truth is None
        row = UsageRecord.objects.get(pk=sample.record_id)
        assert (row.status, row.error_code, row.retries) == ("error", "overloaded", 0)


def test_a_stream_that_breaks_keeps_the_times_of_what_had_arrived(simulator: Any) -> None:
    keys = with_key(simulated(simulator.url, "openai"), "openai", "sk-sim-drop-abcdefgh")

    (sample,) = run_with(keys, prompts=(PROMPTS[1],)).samples

    assert sample.error_code == "stream_broken" and sample.text
    assert sample.first_event_ms is not None and sample.ttft_ms is not None
    assert sample.last_token_ms is not None
    assert 0 < sample.first_event_ms <= sample.ttft_ms < sample.last_token_ms <= sample.latency_ms


def test_whole_answers_have_no_times_of_tokens(simulator: Any) -> None:
    run = run_with(simulated(simulator.url), stream=False)

    for sample in run.samples:
        assert sample.ok and sample.text.startswith("Paris") and sample.truth is not None
        assert (sample.ttft_ms, sample.first_event_ms, sample.itl_ms) == (None, None, None)
        assert sample.latency_ms >= sample.truth.latency_ms


def test_with_a_rate_calls_leave_when_planned_and_are_timed_from_then(simulator: Any) -> None:
    run = run_with(simulated(simulator.url, "openai"), runs=12, rate=200.0)

    assert len(run.samples) == 12 and {sample.step.level for sample in run.samples} == {0}
    for sample in run.samples:
        assert sample.wait_ms is not None and sample.truth is not None
        assert sample.wait_ms >= sample.prepare_ms > 0
        assert sample.latency_ms >= sample.truth.latency_ms + sample.wait_ms
    starts = [sample.started_at for sample in run.samples]
    assert (starts[-1] - starts[0]).total_seconds() < 12 * 0.04  # one at a time, they could not


def test_a_run_on_real_keys_holds_its_stopwatch_against_the_simulator(
    alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")
    keys = gather(Source.USER, of_user(alice), [Contender("anthropic", "")])

    run = run_with(keys, alice, levels=(1, 2))

    assert {level: len(errors) for level, errors in run.harness.items()} == {1: 12, 2: 12}
    error = harness_error(run)
    assert error is not None and error.itl is not None and error.calls == 24
    assert 0 < error.ttft.p50 <= error.ttft.p99 < 1_000


def test_with_a_rate_the_stopwatch_is_held_against_as_many_calls_as_were_under_way(
    alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, provider="anthropic")
    keys = gather(Source.USER, of_user(alice), [Contender("anthropic", "")])

    run = run_with(keys, alice, rate=100.0, runs=20)

    (level,) = run.harness
    mean = sum(sample.latency_ms for sample in run.measured) / len(run.measured)
    assert level == math.ceil(100 * mean / 1000) > 1
    error = harness_error(run)
    assert error is not None and error.at_a_time == (level,)


def test_a_silence_longer_than_the_timeout_is_a_failure(simulator: Any) -> None:
    keys = with_key(simulated(simulator.url, "openai"), "openai", "sk-sim-hang-abcdefgh")

    (sample,) = run_with(keys, timeout=0.2).samples

    assert sample.error_code == "timeout" and 200 <= sample.latency_ms < 5_000


def test_a_key_that_can_not_be_used_takes_its_provider_out_of_the_run(simulator: Any) -> None:
    run = run_with(with_key(simulated(simulator.url), "openai", "sk-sim-\nkey"))

    assert [contender.provider for contender in run.refused] == ["openai"]
    assert {sample.step.contender.provider for sample in run.samples} == {"google", "anthropic"}


def test_without_any_key_that_can_be_used_a_run_fails(simulator: Any) -> None:
    run = run_with(with_key(simulated(simulator.url, "openai"), "openai", "sk-sim-\nkey"))

    assert (run.status, run.error) == (RunStatus.FAILED, "None of the keys can be used.")
    assert not run.samples and len(run.refused) == 1


def test_a_run_of_somebody_whose_account_is_off_measures_nothing(
    alice: User, simulator: Any
) -> None:
    CredentialFactory.create(owner=alice, provider="openai")
    keys = gather(Source.USER, of_user(alice), [Contender("openai", "")])
    plan = Plan(contenders=tuple(keys.selections), seed=1, prompts=SIMPLE)
    row = store.create(plan=plan, source=keys.source, owner_id=alice.pk, simulated=keys.simulated)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    run = execute(row.pk)

    assert run.status == RunStatus.FAILED and len(simulator.app.log) == 0
    assert list(run.refused.values()) == ["the account of alice is switched off"]


def test_several_calls_at_a_time_are_each_timed_from_their_own_departure(simulator: Any) -> None:
    run = run_with(simulated(simulator.url), runs=3, levels=(4,))

    assert sorted(sample.step.order for sample in run.samples) == list(range(9))
    for sample in run.samples:
        assert sample.truth is not None and sample.latency_ms >= sample.truth.latency_ms


def test_a_run_that_was_interrupted_goes_on_where_it_was(simulator: Any) -> None:
    keys = simulated(simulator.url)
    stopped = run_with(keys, stop_at=2, runs=2)

    assert stopped.status == RunStatus.INTERRUPTED and stopped.finished_at is not None
    assert 2 <= len(stopped.samples) < 6
    store.reopen(stopped.id)
    whole = execute(stopped.id, keys=keys)
    assert whole.status == RunStatus.COMPLETED
    assert sorted(sample.step.order for sample in whole.samples) == list(range(6))
    assert whole.samples[:2] == stopped.samples[:2]
    with pytest.raises(store.NotResumable, match="Nothing is left"):
        store.reopen(stopped.id)


def test_a_run_that_waits_is_cancelled_at_once(simulator: Any) -> None:
    keys = simulated(simulator.url, "openai")
    plan = Plan(contenders=tuple(keys.selections), seed=1)
    row = store.create(plan=plan, source=keys.source, owner_id=None, simulated=keys.simulated)

    assert store.cancel(row.pk)
    assert execute(row.pk, keys=keys).status == RunStatus.CANCELLED
    assert not store.cancel(row.pk) and len(simulator.app.log) == 0


def test_a_run_that_is_under_way_stops_after_the_calls_under_way(
    simulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.journal.HEARTBEAT_SECONDS", 0.001)
    keys = simulated(simulator.url, "openai")
    plan = Plan(contenders=tuple(keys.selections), seed=1, runs=500, prompts=SIMPLE)
    row = store.create(plan=plan, source=keys.source, owner_id=None, simulated=keys.simulated)

    class Impatient(Silence):
        def finished(self, sample: Sample) -> None:
            if sample.step.order == 1:
                cancelling.submit(store.cancel, row.pk).result()

    with ThreadPoolExecutor(1) as cancelling:
        run = execute(row.pk, keys=keys, progress=Impatient())
        cancelling.submit(connections.close_all).result()

    assert run.status == RunStatus.CANCELLED and 2 <= len(run.samples) < 501
    row.refresh_from_db()
    assert (row.done, row.total) == (len(run.samples), 501)


def test_a_stored_run_needs_nothing_but_its_row(alice: User, simulator: Any) -> None:
    CredentialFactory.create(owner=alice, provider="openai")
    keys = gather(Source.USER, of_user(alice), [Contender("openai", "")])
    plan = Plan(contenders=tuple(keys.selections), seed=1, runs=1, warmup=0, prompts=SIMPLE)
    row = store.create(plan=plan, source=keys.source, owner_id=alice.pk, simulated=keys.simulated)

    run = execute(row.pk)

    assert run.status == RunStatus.COMPLETED and [one.ok for one in run.samples] == [True]


def test_the_same_seed_asks_the_simulator_for_the_same_delays() -> None:
    step = Step(4, OPENAI, Prompt("p", "text", simulated_tokens=50), 1, False)

    assert timing(1, step) == timing(1, step) != timing(2, step)
    assert timing(1, step).headers()["x-sim-tokens"] == "50"
