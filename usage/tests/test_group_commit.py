"""Rows of many calls in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connection

from credentials.tests.factories import CredentialFactory
from providers.vocabulary import Usage
from usage import group_commit as module
from usage import one_by_one, posting, price_lists, telling
from usage.admission import admit_at_once, make_room
from usage.group_commit import GroupCommit
from usage.ledger import Closed, OpenCall, Outcome
from usage.ledger_line import LedgerLine
from usage.models import Budget, Status, UsageRecord, UsageSource
from usage.posting import write
from usage.price_models import read_overrides
from usage.signals import Settled, calls_settled, metrics_read
from usage.tests.test_budgets import MOST, MOST_NANO, opened

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.integration]


def closed(call: OpenCall) -> Closed:
    return call.close(
        Outcome(status=Status.OK, usage=MOST, usage_source=UsageSource.REPORTED, model_served="x")
    )


Written = Callable[..., list[Any]]


def by_thread(*entries: Closed) -> list[Any]:
    """What each who waits is told; the thread has ended then."""
    commits = GroupCommit()

    async def wait() -> list[Any]:
        return await asyncio.gather(*map(commits.put, entries), return_exceptions=True)

    try:
        return asyncio.run(wait())
    finally:
        commits.close()


def by_loop(*entries: Closed) -> list[Any]:
    """The same in a server's event loop."""
    commits = GroupCommit()

    async def wait() -> list[Any]:
        async with commits.on_this_loop():
            return await asyncio.gather(*map(commits.put, entries), return_exceptions=True)

    try:
        return asyncio.run(wait())
    finally:
        commits.close()


@pytest.fixture(params=[by_thread, by_loop])
def written(request: pytest.FixtureRequest) -> Written:
    ways: Written = request.param
    if ways is by_loop and connection.vendor != "postgresql":
        pytest.skip("an event loop writes to PostgreSQL only")
    known_overrides_and_prices()
    return ways


def known_overrides_and_prices() -> None:
    """A server has read them long ago: rows can be made without the database."""
    read_overrides()
    price_lists.current()


def test_each_who_waits_gets_their_own_row(alice: User, written: Written) -> None:
    calls = [opened(alice) for _ in range(40)]
    rows = written(*map(closed, calls))

    assert [row.id for row in rows] == [call.id for call in calls]
    stored = UsageRecord.objects.in_bulk([row.id for row in rows])
    assert len(stored) == 40
    one, kept = rows[0], stored[rows[0].id]
    for field in UsageRecord._meta.concrete_fields:
        assert getattr(one, field.attname) == getattr(kept, field.attname), field.name
    assert kept.cost_usd and kept.unit_prices["input_mtok"] == "0.15"


@pytest.mark.parametrize("holders", [1, 2])
def test_budgets_are_charged_with_the_rows(alice: User, holders: int, written: Written) -> None:
    rows = [
        Budget.objects.create(name="x", user=user, limit_units=10_000 * MOST_NANO)
        for user in (alice, None)[:holders]
    ]
    first = opened(alice)
    make_room(first, MOST)
    calls = [opened(alice) for _ in range(20)]
    assert all(admit_at_once(call, MOST) for call in calls)
    written(*map(closed, calls))

    for row in rows:
        row.refresh_from_db()
        assert (row.spent_units, row.reserved_units) == (20 * MOST_NANO, 0)


def test_a_server_tells_of_all_calls_before_it_shows_metrics_and_before_it_ends(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "SECONDS", 3600.0)
    known_overrides_and_prices()
    calls = [opened(alice) for _ in range(3)]
    told: list[str] = []
    waited: list[float] = []

    def note(sender: Any, calls: Sequence[Settled], **kwargs: Any) -> None:
        told.extend(str(call.record.pk) for call in calls)
        waited.extend(call.since - call.lag for call in calls)

    calls_settled.connect(note)
    commits = GroupCommit()
    monkeypatch.setattr(module, "group_commit", lambda: commits)

    async def scenario() -> None:
        async with commits.on_this_loop():
            for call in calls[:2]:
                await commits.put(closed(call))
            await asyncio.sleep(0.1)
            metrics_read.send(None)
            assert told == [call.name for call in calls[:2]]
            await commits.put(closed(calls[2]))
            assert len(told) == 2

    try:
        asyncio.run(scenario())
    finally:
        commits.close()
        calls_settled.disconnect(note)

    assert told == [call.name for call in calls]
    # When a row was there does not hang on when somebody is told of it.
    assert waited[1] > 0.09


def test_a_row_that_can_not_be_written_takes_no_other_with_it(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [opened(alice) for _ in range(3)]

    def broken(entries: Any) -> Any:
        if any(entry.call is calls[1] for entry in entries):
            raise OperationalError("the disk is full")
        return write(entries)

    monkeypatch.setattr(one_by_one, "write", broken)
    monkeypatch.setattr(posting, "write", broken)
    monkeypatch.setattr(posting, "PATIENCE_SECONDS", 0.0)
    one, two, three = by_thread(*map(closed, calls))
    assert (one.id, three.id) == (calls[0].id, calls[2].id)
    assert isinstance(two, OperationalError)
    assert UsageRecord.objects.count() == 2


def test_a_user_or_key_that_was_deleted_meanwhile_is_named_no_more(
    alice: User, written: Written
) -> None:
    key = CredentialFactory.create(owner=alice)
    calls = [opened(alice, credential_id=key.pk), opened(None)]
    alice.delete()
    rows = written(*map(closed, calls))

    assert [row.id for row in rows] == [call.id for call in calls]
    names = ("user_id", "access_token_id", "credential_id")
    assert not any(getattr(row, name) for row in UsageRecord.objects.all() for name in names)


def test_a_row_that_is_there_already_is_not_written_twice(alice: User, written: Written) -> None:
    """As when the connection breaks after the commit, before its answer."""
    call = opened(alice)
    entry = closed(call)
    (first,) = written(entry)
    (again,) = written(entry)

    assert first.id == again.id
    assert UsageRecord.objects.count() == 1


def test_the_row_of_who_waits_no_more_is_written_too(alice: User) -> None:
    call = opened(alice)
    commits = GroupCommit()

    async def leave() -> None:
        commits.put(closed(call)).cancel()

    asyncio.run(leave())
    commits.close()
    assert UsageRecord.objects.get().id == call.id


def test_a_call_of_no_tokens_is_a_row_as_well(alice: User, written: Written) -> None:
    call = opened(alice)
    outcome = Outcome(
        status=Status.ERROR, usage=Usage(), usage_source=UsageSource.ESTIMATED, error_code="timeout"
    )
    (row,) = written(call.close(outcome))
    assert (row.status, row.error_code, row.cost_usd) == (Status.ERROR, "timeout", 0)


def test_a_database_that_is_away_for_a_while_costs_no_row(
    alice: User, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [OperationalError("the server closed the connection"), InterfaceError("it is closed")]

    def away(entries: Any) -> Any:
        if fails:
            raise fails.pop()
        return write(entries)

    monkeypatch.setattr(posting, "write", away)
    monkeypatch.setattr(LedgerLine, "send", lambda *args: 1 / 0)  # its line is broken too
    calls = [opened(alice) for _ in range(3)]
    rows = written(*map(closed, calls))
    assert [row.id for row in rows] == [call.id for call in calls]
    assert not fails and UsageRecord.objects.count() == 3
