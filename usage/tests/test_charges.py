"""What calls out of a lease have cost, charged to their budgets after their rows. A loop writes
rows so on PostgreSQL only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from usage import budgets, charges, leases, loop_commit, memory
from usage.admission import admit_at_once, make_room
from usage.group_commit import GroupCommit
from usage.ledger import OpenCall
from usage.ledger_line import LedgerLine
from usage.models import Budget, Reservation, Status, UsageRecord
from usage.posting import ROWS_ALONE, Made, land, make_ahead, rows_alone
from usage.snapshots import Snapshot
from usage.tests.test_budgets import MOST, MOST_NANO, opened, state
from usage.tests.test_loop_commit import closed

pytestmark = [pytest.mark.usefixtures("on_postgresql"), pytest.mark.integration]
PLENTY = 10_000 * MOST_NANO


@pytest.fixture
def row(alice: User) -> Budget:
    """A budget that has been counted, and will not be for a while."""
    row = Budget.objects.create(name="Lunch", user=alice, limit_units=PLENTY)
    Budget.objects.update(updated_at=timezone.now() - timedelta(days=1))
    budgets.recount(row.pk)
    return row


def admitted(user: User, count: int) -> list[OpenCall]:
    """Calls that have room of a lease."""
    calls = [opened(user) for _ in range(count)]
    make_room(calls[0], MOST)
    assert all(admit_at_once(call, MOST) for call in calls)
    return calls


def write(calls: list[OpenCall]) -> None:
    """Their rows, in one transaction and as an event loop writes them."""
    entries = [closed(call) for call in calls]
    made: list[Made] = []
    for entry in entries:
        make_ahead(entry)
        assert entry.made
        made.append(entry.made)
    batch = rows_alone(made)
    connection.ensure_connection()
    with psycopg.RawCursor(connection.connection) as cursor:
        found = cursor.execute(ROWS_ALONE, batch.values).fetchone()
    assert found
    charges.note(batch.sums, int(found[0]), batch.at)
    land(entries)


def due(row: Budget) -> None:
    Budget.objects.filter(pk=row.pk).update(rolls_at=timezone.now())


def test_until_it_is_charged_a_call_s_part_stays_set_aside(alice: User, row: Budget) -> None:
    calls = admitted(alice, 3)
    spent, reserved = state(row)
    assert (spent, reserved > 3 * MOST_NANO) == (0, True)
    write(calls)
    assert state(row) == (0, reserved)
    charges.charge_all()
    assert state(row) == (3 * MOST_NANO, reserved)
    leases.give_all_back()
    assert state(row) == (3 * MOST_NANO, 0)


def test_a_lease_that_is_given_back_is_charged_first(alice: User, row: Budget) -> None:
    write(admitted(alice, 3))
    leases.give_all_back()
    assert state(row) == (3 * MOST_NANO, 0)
    charges.charge_all()
    assert state(row) == (3 * MOST_NANO, 0)


def test_what_a_count_has_seen_is_not_charged_again(alice: User, row: Budget) -> None:
    first, second, third = admitted(alice, 3)
    write([first])
    due(row)
    budgets.recount(row.pk)
    assert state(row)[0] == MOST_NANO
    write([second])
    charges.charge_all()
    assert state(row)[0] == 2 * MOST_NANO
    write([third])
    charges.charge_all()
    assert state(row)[0] == 3 * MOST_NANO


def test_what_was_being_written_during_a_count_is_charged(alice: User, row: Budget) -> None:
    (call,) = admitted(alice, 1)
    due(row)
    with transaction.atomic():
        write([call])
        in_thread(budgets.recount, row.pk)
        assert state(row)[0] == 0
        with connection.cursor() as cursor:  # so that numbers go on before it ends
            in_thread(due, row)
            cursor.execute("SELECT 1")
        in_thread(budgets.recount, row.pk)
    charges.charge_all()
    assert state(row)[0] == MOST_NANO


def test_what_a_killed_process_had_not_charged_is_found_again(alice: User, row: Budget) -> None:
    write(admitted(alice, 3))
    leases.forget_all()
    Reservation.objects.update(expires_at=timezone.now())
    budgets.reclaim()
    (counted,) = budgets.fresh([Budget.objects.get(pk=row.pk)])
    assert (counted.spent_units, counted.reserved_units) == (3 * MOST_NANO, 0)


@pytest.mark.parametrize("is_written", [False, True])
def test_a_charge_that_may_or_may_not_have_been_written_is_counted_anew(
    alice: User, row: Budget, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    calls = admitted(alice, 2)
    write(calls[:1])

    @contextmanager
    def broken() -> Iterator[None]:
        with transaction.atomic():
            yield
            if not is_written:
                raise OperationalError("the connection broke before the end")
        raise OperationalError("the connection broke after it")

    with monkeypatch.context() as patch:
        patch.setattr(charges, "transaction", SimpleNamespace(atomic=broken))
        with pytest.raises(OperationalError):
            charges.charge_all()
    assert state(row)[0] == (MOST_NANO if is_written else 0)
    write(calls[1:])
    charges.charge_all()
    assert state(row)[0] == 2 * MOST_NANO


def test_a_budget_that_comes_from_another_cluster_is_counted_anew(alice: User, row: Budget) -> None:
    """There, transactions had higher numbers: all of this one's would look as if seen."""
    calls = admitted(alice, 2)
    Budget.objects.update(snapshot=f"{10**15}:{10**15}:")
    write(calls[:1])
    charges.charge_all()
    assert state(row)[0] == MOST_NANO
    write(calls[1:])
    charges.charge_all()
    assert state(row)[0] == 2 * MOST_NANO


def test_a_period_that_is_over_is_counted_anew(alice: User, row: Budget) -> None:
    calls = admitted(alice, 2)
    write(calls[:1])
    UsageRecord.objects.all()._raw_delete("default")  # as if long ago
    due(row)
    write(calls[1:])
    charges.charge_all()
    assert state(row)[0] == MOST_NANO


def test_a_server_charges_by_itself_some_times_a_second(
    alice: User, row: Budget, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charges, "SECONDS", 0.01)
    calls = admitted(alice, 3)

    async def serve() -> None:
        async with commits.on_this_loop():
            for done, call in enumerate(calls, 1):
                await commits.put(closed(call))
                while (await asyncio.to_thread(in_thread, state, row))[0] < done * MOST_NANO:
                    await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 30))
    assert state(row)[0] == 3 * MOST_NANO


def test_a_call_whose_budget_came_after_it_is_charged_with_its_row(
    alice: User, row: Budget, commits: GroupCommit
) -> None:
    """No lease on it would remind anybody of what was not charged."""
    (call,) = admitted(alice, 1)
    later = Budget.objects.create(name="Tea", limit_units=PLENTY)
    Budget.objects.update(updated_at=timezone.now() - timedelta(days=1))
    budgets.recount(later.pk)
    memory.looks.forget()
    budgets.read_over(call.parties)

    async def serve() -> None:
        async with commits.on_this_loop():
            await commits.put(closed(call))
            assert not charges._waiting

    asyncio.run(serve())
    assert (state(row)[0], state(later)[0]) == (MOST_NANO, MOST_NANO)


def test_what_was_written_but_never_acknowledged_is_counted(
    alice: User, row: Budget, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_commit, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(LedgerLine, "read", lambda line: False)
    calls = admitted(alice, 2)

    async def serve() -> None:
        async with commits.on_this_loop():
            await asyncio.gather(*(commits.put(closed(call)) for call in calls))

    asyncio.run(serve())
    commits.close()
    assert (UsageRecord.objects.count(), state(row)) == (2, (2 * MOST_NANO, 0))


def test_room_is_not_given_back_while_its_charge_is_on_its_way(
    alice: User, row: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(admitted(alice, 3))
    is_taken, go_on = threading.Event(), threading.Event()
    charge_together = charges._charge_together

    def slowly(owed: charges.Owed) -> None:
        is_taken.set()
        assert go_on.wait(30)
        charge_together(owed)

    monkeypatch.setattr(charges, "_charge_together", slowly)
    charging = begin(charges.charge_all)
    assert is_taken.wait(30)
    giving_back = begin(leases.give_all_back)
    giving_back.join(0.2)
    spent, reserved = state(row)
    assert (spent, reserved >= 3 * MOST_NANO) == (0, True)
    go_on.set()
    charging.join()
    giving_back.join()
    assert state(row) == (3 * MOST_NANO, 0)


def test_a_call_that_was_promised_nothing_is_charged_with_its_row(
    alice: User, row: Budget, commits: GroupCommit
) -> None:
    """Its model had no price; that which answered has one. No lease would remind anybody."""
    call = opened(alice, model="nobody-knows-this")
    make_room(call, MOST)
    assert admit_at_once(call, MOST)
    entry = closed(call)
    entry.outcome.model_served = "gpt-4o-mini"

    async def serve() -> None:
        async with commits.on_this_loop():
            await commits.put(entry)
            assert not charges._waiting

    asyncio.run(serve())
    assert state(row)[0] == MOST_NANO


def test_a_count_during_a_wait_for_the_lock_is_not_taken_for_one_from_elsewhere(
    alice: User, row: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = admitted(alice, 2)
    write([first])
    counts: list[int] = []
    monkeypatch.setattr(charges, "count", lambda *args: counts.append(1))
    with transaction.atomic():
        locked = Budget.objects.select_for_update().get(pk=row.pk)
        charging = begin(charges.charge_all)
        while not in_thread(waits_for_a_lock):  # a transaction sees one state of this only
            pass
        in_thread(write, [second])
        budgets.count(locked, timezone.now())
        locked.save(update_fields=budgets.COUNTERS)
    charging.join()
    assert not counts
    charges.charge_all()
    assert state(row)[0] == 2 * MOST_NANO


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def test_one_budget_that_can_not_be_counted_keeps_no_other_from_its_charge(
    alice: User, row: Budget
) -> None:
    bad = Budget.objects.create(name="Bad", user=alice, limit_units=PLENTY)
    Budget.objects.filter(pk=bad.pk).update(time_zone="Not/There")
    for times in (1, 2):
        charges.note([(bad.pk.int, 7), (row.pk.int, 7)], next_number(), timezone.now())
        charges.charge_all()
        assert state(row)[0] == times * 7
    assert charges._waiting == {bad.pk.int: None}


def next_number() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        return int(cursor.fetchone()[0])


def test_many_budgets_are_charged_by_a_few_statements(
    alice: User, row: Budget, django_assert_max_num_queries: Any
) -> None:
    row.refresh_from_db()
    period = {"counted_from": row.counted_from, "rolls_at": row.rolls_at}
    others = [
        Budget(name=str(number), user=alice, limit_units=PLENTY, **period) for number in range(50)
    ]
    Budget.objects.bulk_create(others)
    charges.note([(one.pk.int, at) for at, one in enumerate(others)], 5, timezone.now())
    with django_assert_max_num_queries(4):
        charges.charge_all()
    assert [state(one)[0] for one in others] == list(range(50))


def test_whoever_counts_or_charges_meanwhile_the_sum_is_that_of_the_ledger(
    alice: User, row: Budget
) -> None:
    """A server writes and charges, while another counts again and again."""
    calls = admitted(alice, 150)
    is_over = threading.Event()

    def count_again() -> None:
        while not is_over.is_set():
            due(row)
            budgets.recount(row.pk)

    def charge_again() -> None:
        while not is_over.is_set():
            charges.charge_all()

    others = [begin(count_again), begin(charge_again)]
    for at in range(0, len(calls), 3):
        write(calls[at : at + 3])
    is_over.set()
    for other in others:
        other.join()
    charges.charge_all()
    assert state(row)[0] == len(calls) * MOST_NANO
    assert UsageRecord.objects.filter(status=Status.OK).count() == len(calls)


def test_a_snapshot_is_read_as_postgresql_does() -> None:
    text = "100:110:103,107"
    numbers = list(range(95, 115))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_visible_in_snapshot(n::text::xid8, %s::pg_snapshot)"
            " FROM unnest(%s::int[]) WITH ORDINALITY AS u(n, at) ORDER BY at",
            [text, numbers],
        )
        theirs = [sees for (sees,) in cursor.fetchall()]
    assert [Snapshot.read(text).sees(number) for number in numbers] == theirs
    assert Snapshot.read("7:7:") == (7, 7, frozenset())


def begin(work: Any) -> threading.Thread:
    """With a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def in_thread(work: Any, *arguments: Any) -> Any:
    """`work` on another connection."""
    found: list[Any] = []
    begin(lambda: found.append(work(*arguments))).join()
    return found[0]
