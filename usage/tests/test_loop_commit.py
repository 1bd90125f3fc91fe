"""Ledger rows that a server's event loop writes to PostgreSQL by itself."""

from __future__ import annotations

import asyncio
import select
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.utils import timezone

from credentials.tests.factories import CredentialFactory
from providers.vocabulary import Usage
from usage import loop_commit
from usage.budgets import read_over
from usage.group_commit import GroupCommit
from usage.ledger import Closed, OpenCall, Outcome
from usage.ledger_line import LedgerLine
from usage.models import Budget, Status, UsageRecord, UsageSource
from usage.posting import rows_alone
from usage.tests.test_budgets import MOST, MOST_NANO, opened

pytestmark = [pytest.mark.usefixtures("on_postgresql"), pytest.mark.integration]


def closed(call: OpenCall) -> Closed:
    return call.close(
        Outcome(status=Status.OK, usage=MOST, usage_source=UsageSource.REPORTED, model_served="x")
    )


def known(call: OpenCall) -> OpenCall:
    """A call whose budgets have been read, so that its row can be made on the loop."""
    read_over(call.parties)
    return call


def hang_up_all_lines() -> None:
    """As a restart of the server's does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            " AND query LIKE '%%usage_usagerecord%%'"
        )
    connection.close()


def test_no_thread_is_needed(alice: User, commits: GroupCommit) -> None:
    calls = [known(opened(alice)) for _ in range(300)]  # more than one transaction takes

    async def serve() -> list[Any]:
        async with commits.on_this_loop():
            rows = await asyncio.gather(*(commits.put(closed(call)) for call in calls))
            assert commits._thread is None
            return rows

    rows = asyncio.run(serve())
    assert [row.id for row in rows] == [call.id for call in calls]
    assert UsageRecord.objects.count() == 300


def test_one_row_follows_another_at_once_and_several_go_together(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    def noting(rows: Any) -> Any:
        sent.append(len(rows))
        return rows_alone(rows)

    monkeypatch.setattr(loop_commit, "rows_alone", noting)
    calls = iter([known(opened(alice)) for _ in range(8)])

    async def serve() -> None:
        async with commits.on_this_loop():
            await asyncio.gather(*(commits.put(closed(next(calls))) for _ in range(3)))
            assert sent == [3]
            row = commits.put(closed(next(calls)))
            assert sent == [3]  # there may be more to come in this turn
            await row
            first, *rest = [commits.put(closed(next(calls))) for _ in range(4)]
            assert sent == [3, 1, 1]
            await asyncio.gather(first, *rest)

    asyncio.run(serve())
    assert sent == [3, 1, 1, 3]
    assert UsageRecord.objects.count() == 8


def test_what_is_under_way_at_the_end_is_awaited(alice: User, commits: GroupCommit) -> None:
    calls = [known(opened(alice)) for _ in range(3)]

    async def serve() -> None:
        async with commits.on_this_loop():
            for call in calls:
                commits.put(closed(call)).cancel()

    asyncio.run(serve())
    assert UsageRecord.objects.count() == 3


def test_a_connection_that_broke_loses_no_row_and_is_made_anew(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_commit, "RETRY_SECONDS", 0.0)
    calls = [known(opened(alice)) for _ in range(6)]

    async def serve() -> list[Any]:
        async with commits.on_this_loop():
            rows = [await commits.put(closed(calls[0]))]
            await asyncio.to_thread(hang_up_all_lines)
            rows += [await commits.put(closed(call)) for call in calls[1:5]]
            while not commits._loops[asyncio.get_running_loop()].can_write():
                await asyncio.sleep(0.01)
            return [*rows, await commits.put(closed(calls[5]))]

    rows = asyncio.run(serve())
    assert [row.id for row in rows] == [call.id for call in calls]
    assert UsageRecord.objects.count() == 6


def test_a_statement_too_large_for_the_socket_goes_out_bit_by_bit(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[bool] = []
    flush = LedgerLine.has_sent_all

    def bit_by_bit(line: LedgerLine) -> bool:
        flushes.append(len(flushes) > 1 and flush(line))
        return flushes[-1]

    monkeypatch.setattr(LedgerLine, "has_sent_all", bit_by_bit)
    call = known(opened(alice))

    async def serve() -> Any:
        async with commits.on_this_loop():
            return await commits.put(closed(call))

    assert asyncio.run(serve()).id == call.id
    assert flushes == [False, False, True]


def test_one_row_that_can_not_be_written_takes_no_other_with_it(
    alice: User, commits: GroupCommit
) -> None:
    calls = [known(opened(alice)) for _ in range(3)]

    async def serve() -> list[Any]:
        async with commits.on_this_loop():
            entries = [closed(call) for call in calls]
            futures = [commits.put(entry) for entry in entries]
            made = entries[1].made
            assert made
            nobody = made.text.replace('"user_id":"', '"user_id":"999')
            entries[1].made = made._replace(text=nobody)
            return await asyncio.gather(*futures, return_exceptions=True)

    rows = asyncio.run(serve())
    assert [row.id for row in rows] == [call.id for call in calls]
    assert UsageRecord.objects.filter(user=alice).count() == 3


def test_a_budget_whose_period_is_over_is_counted_anew(alice: User, commits: GroupCommit) -> None:
    past = timezone.now() - timedelta(days=1)
    budget = Budget.objects.create(name="x", user=alice, limit_units=100 * MOST_NANO)
    Budget.objects.filter(pk=budget.pk).update(rolls_at=past, spent_units=7)
    call = known(opened(alice))

    async def serve() -> None:
        async with commits.on_this_loop():
            await commits.put(closed(call))

    asyncio.run(serve())
    commits.close()  # its thread counts
    budget.refresh_from_db()
    assert budget.spent_units == MOST_NANO
    assert budget.rolls_at > timezone.now()


def test_a_database_that_can_not_be_reached_is_tried_again(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the thread writes, as well as it can."""
    tries: list[int] = []

    def refused(line: LedgerLine) -> None:
        tries.append(1)
        raise ConnectionRefusedError

    monkeypatch.setattr(LedgerLine, "__init__", refused)
    calls = [known(opened(alice)) for _ in range(3)]

    async def serve() -> list[Any]:
        async with commits.on_this_loop():
            return [await commits.put(closed(call)) for call in calls]

    rows = asyncio.run(serve())
    assert [row.id for row in rows] == [call.id for call in calls]
    assert len(tries) == 1  # the next try is due in some seconds


def test_behind_a_pooler_no_plan_is_kept(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    call = known(opened(alice))

    async def serve() -> Any:
        async with commits.on_this_loop():
            return await commits.put(closed(call))

    assert asyncio.run(serve()).id == call.id
    assert UsageRecord.objects.get().input_tokens == MOST.input_tokens


def test_a_failed_call_is_told_to_its_key_by_the_thread(alice: User, commits: GroupCommit) -> None:
    key = CredentialFactory.create(owner=alice)
    call = known(opened(alice, credential_id=key.pk))
    outcome = Outcome(
        status=Status.ERROR,
        usage=Usage(),
        usage_source=UsageSource.ESTIMATED,
        error_code="authentication_failed",
        reason="The key was refused.",
    )

    async def serve() -> None:
        async with commits.on_this_loop():
            await commits.put(call.close(outcome))

    asyncio.run(serve())
    key.refresh_from_db()
    assert key.quarantined_at


def test_a_farewell_and_the_end_are_found_in_one_read() -> None:
    """uvloop tells of both only once."""
    line = LedgerLine()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE usage_usagerecord IN SHARE MODE")  # so that it takes its time
        line.send([timezone.now().isoformat(), "[]"])
        assert line.has_sent_all() and not line.read()
        cursor.execute("SELECT pg_terminate_backend(%s)", [line._libpq.backend_pid])
        poll = select.poll()
        poll.register(line.socket, select.POLLIN | select.POLLRDHUP)
        while not poll.poll(10_000)[0][1] & select.POLLRDHUP:
            pass
        with pytest.raises(psycopg.Error):
            line.read()
    line.close()


def test_a_connection_that_never_answers_is_given_up(
    alice: User, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a network loses the server. The thread writes what may not have been written."""
    monkeypatch.setattr(loop_commit, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(LedgerLine, "read", lambda line: False)
    calls = [known(opened(alice)) for _ in range(2)]

    async def serve() -> list[Any]:
        async with commits.on_this_loop():
            return await asyncio.gather(*(commits.put(closed(call)) for call in calls))

    rows = asyncio.run(serve())
    assert [row.id for row in rows] == [call.id for call in calls]
    assert UsageRecord.objects.count() == 2
