from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from credentials.models import AccessToken
from credentials.tests.factories import CredentialFactory
from providers.vocabulary import Usage
from usage import budgets
from usage.accounts import Account, Caller, Payer
from usage.admission import BudgetSpent, PriceUnknown, admit
from usage.ledger import OpenCall, Outcome
from usage.models import Budget, Reservation, Status, Surface, UsageRecord, UsageSource
from usage.periods import Period, window
from usage.posting import post

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
MOST = Usage(input_tokens=1_000, output_tokens=1_000)  # gpt-4o-mini: $0.00015 + $0.0006
MOST_NANO = 750_000


def opened(user: User | None = None, model: str = "gpt-4o-mini", **payer: Any) -> OpenCall:
    caller = Caller(
        surface=Surface.API,
        user_id=user.pk if user else None,
        access_token_id=payer.pop("access_token_id", None),
    )
    paying = Payer(provider="openai", model=model, paid_by="user", is_simulated=False, **payer)
    return OpenCall(Account(caller, paying))


def settled(call: OpenCall, usage: Usage = MOST) -> UsageRecord:
    return call.settle(status=Status.OK, usage=usage, usage_source=UsageSource.REPORTED)


def budget(limit: int, **fields: Any) -> Budget:
    return Budget.objects.create(name="Lunch", limit_units=limit, **fields)


def state(row: Budget) -> tuple[int, int]:
    row.refresh_from_db()
    return row.spent_units, row.reserved_units


def test_a_call_sets_its_most_aside_and_leaves_what_it_cost(alice: User) -> None:
    row = budget(MOST_NANO, user=alice)
    call = opened(alice)
    admit(call, MOST)

    assert state(row) == (0, MOST_NANO)
    settled(call, Usage(input_tokens=1_000, output_tokens=100))
    assert state(row) == (150_000 + 60_000, 0)
    assert not Reservation.objects.exists()


def test_a_hard_budget_refuses_what_it_has_no_room_for_and_says_why(alice: User) -> None:
    row = budget(MOST_NANO * 2, user=alice, time_zone="Europe/Berlin")
    settled(opened(alice))
    admit(opened(alice), MOST)

    with pytest.raises(BudgetSpent) as refused:
        admit(opened(alice), MOST)
    assert (refused.value.status, refused.value.code) == (402, "budget_spent")
    for told in ("“Lunch”", "$0.00075 of $0.0015 are spent", "resets on 1 ", "Europe/Berlin"):
        assert told in str(refused.value)
    assert refused.value.retry_after and refused.value.retry_after <= 31 * 86_400
    assert state(row) == (MOST_NANO, MOST_NANO)


def test_a_soft_budget_warns_from_the_first_call_on_that_overdraws_it(alice: User) -> None:
    """Its counters may be remembered as they were when there was room."""
    budget(3 * MOST_NANO, user=alice, is_hard=False)
    warnings = []
    for _ in range(4):
        call = opened(alice)
        admit(call, MOST)
        warnings.append(bool(call.warnings))
        settled(call)

    assert warnings == [False, False, False, True]


def test_a_soft_budget_lets_calls_through_and_warns(alice: User) -> None:
    row = budget(1, user=alice, is_hard=False)
    call = opened(alice)
    admit(call, MOST)
    settled(call)

    assert call.warnings == ("The budget “Lunch” is overdrawn.",)
    assert state(row) == (MOST_NANO, 0)


def test_what_one_budget_refuses_is_set_aside_in_no_other(alice: User) -> None:
    wide, narrow = budget(MOST_NANO * 9, user=alice), budget(1, user=alice)

    with pytest.raises(BudgetSpent):
        admit(opened(alice), MOST)
    assert (state(wide), state(narrow)) == ((0, 0), (0, 0))
    assert not Reservation.objects.exists()


def test_a_budget_counts_the_calls_it_is_for_and_no_others(alice: User, bob: User) -> None:
    key = CredentialFactory.create(owner=alice)
    token, _ = AccessToken.issue(user=alice, name="program")
    rows = {
        "everyone": budget(10**12),
        "alice": budget(10**12, user=alice),
        "token": budget(10**12, access_token=token),
        "key": budget(10**12, credential=key),
    }
    for call in (opened(bob), opened(alice), opened(alice, access_token_id=token.pk)):
        settled(call)
    settled(opened(bob, credential_id=key.pk))

    spent = {name: state(row)[0] // MOST_NANO for name, row in rows.items()}
    assert spent == {"everyone": 4, "alice": 2, "token": 1, "key": 1}


def test_a_new_budget_knows_what_was_spent_before_it(alice: User) -> None:
    settled(opened(alice))
    row = budget(MOST_NANO, user=alice)

    with pytest.raises(BudgetSpent):
        admit(opened(alice), MOST)
    assert budgets.fresh([row])[0].spent_units == MOST_NANO


def test_tokens_are_counted_where_the_budget_is_in_tokens(alice: User) -> None:
    row = budget(3_999, user=alice, unit="tokens")
    call = opened(alice, model="a-model-without-a-price")
    admit(call, MOST)

    with pytest.raises(BudgetSpent, match="may take 2,000 tokens: 0 tokens of 3,999 tokens"):
        admit(opened(alice), MOST)
    settled(call, Usage(input_tokens=7, output_tokens=3))
    assert state(row) == (10, 0)


def test_a_call_without_a_price_counts_no_dollars_unless_the_budget_refuses_it(
    alice: User,
) -> None:
    row = budget(10, user=alice)
    call = opened(alice, model="a-model-without-a-price")
    admit(call, MOST)
    settled(call)
    assert state(row) == (0, 0)

    Budget.objects.update(refuses_unpriced=True)
    with pytest.raises(PriceUnknown, match="a-model-without-a-price"):
        admit(opened(alice, model="a-model-without-a-price"), MOST)


def test_the_most_of_a_call_includes_writing_its_input_to_a_cache(alice: User) -> None:
    row = budget(10**12, user=alice)
    payer = Payer(
        provider="anthropic", model="claude-sonnet-4-5", paid_by="user", is_simulated=False
    )
    admit(OpenCall(Account(Caller(surface=Surface.API, user_id=alice.pk), payer)), MOST)

    # 1,000 tokens at $3.75 (writing, not $3) and 1,000 at $15 a million
    assert state(row) == (0, 3_750_000 + 15_000_000)


def test_a_new_period_starts_from_what_the_ledger_says_of_it(alice: User) -> None:
    row = budget(MOST_NANO, user=alice, period="day")
    settled(opened(alice))
    yesterday = timezone.now() - timedelta(days=1)
    Budget.objects.update(
        spent_units=MOST_NANO, counted_from=yesterday, rolls_at=yesterday, updated_at=yesterday
    )

    with pytest.raises(BudgetSpent):  # today's own call has filled it
        admit(opened(alice), MOST)
    fresh = budgets.fresh([Budget.objects.get(pk=row.pk)])[0]
    assert (fresh.counted_from, fresh.rolls_at) == row.window(timezone.now())
    assert fresh.spent_units == MOST_NANO


def test_what_a_dead_process_had_set_aside_is_reclaimed_once(alice: User) -> None:
    row = budget(10**12, user=alice)
    lost, late = opened(alice), opened(alice)
    admit(lost, MOST)
    admit(late, MOST)
    assert budgets.reclaim() == 0

    Reservation.objects.update(expires_at=timezone.now())
    assert (budgets.reclaim(), budgets.reclaim()) == (2, 0)
    settled(late)  # it was only slow
    assert state(row) == (MOST_NANO, 0)


def test_a_row_and_its_charge_are_written_together_or_not_at_all(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = budget(10**12, user=alice)
    call = opened(alice)
    admit(call, MOST)
    with pytest.raises(IntegrityError), transaction.atomic():
        record = settled(call)
        call.settle(status=Status.OK, usage=MOST, usage_source=UsageSource.REPORTED)  # twice

    assert not UsageRecord.objects.filter(pk=record.pk).exists()
    assert state(row) == (0, MOST_NANO)


def test_a_budget_for_two_things_at_once_is_refused(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        budget(1, user=alice, credential=CredentialFactory.create(owner=alice))


def test_only_the_first_of_many_calls_without_a_budget_asks_the_database(
    alice: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    with django_assert_num_queries(2):  # whether anything has changed, and the budgets
        admit(opened(alice), MOST)
    with django_assert_num_queries(0):
        admit(opened(alice), MOST)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("period", "rolling", "now", "start", "end"),
    [
        ("day", False, "2026-03-28T23:30", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("week", False, "2026-03-04T12:00", "2026-03-01T23:00", "2026-03-08T23:00"),
        ("month", False, "2026-01-31T23:30", "2026-01-31T23:00", "2026-02-28T23:00"),
        ("month", False, "2026-12-31T22:59", "2026-11-30T23:00", "2026-12-31T23:00"),
        ("day", True, "2026-03-04T12:07", "2026-03-03T12:00", "2026-03-04T12:10"),
        ("week", True, "2026-03-08T12:07", "2026-03-01T12:00", "2026-03-08T13:00"),
        ("month", True, "2026-03-31T12:07", "2026-03-01T12:00", "2026-03-31T13:00"),
    ],
)
def test_periods_begin_and_end(period: str, rolling: bool, now: str, start: str, end: str) -> None:
    at, begins, ends = (datetime.fromisoformat(t).replace(tzinfo=UTC) for t in (now, start, end))

    assert window(Period(period), rolling, BERLIN, at) == (begins, ends)


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Asia/Kolkata"],
)
def test_days_of_every_length_meet_without_gap(zone: str) -> None:
    """Of 23, 23.5, 24.5 and 25 hours too, and where there is no midnight (Cairo, in April)."""
    place = ZoneInfo(zone)
    day = window(Period.DAY, False, place, datetime(2026, 1, 1, 12, tzinfo=UTC))
    for _ in range(400):
        assert timedelta(hours=23) <= day.end - day.start <= timedelta(hours=25)
        for moment in (day.start, day.end - timedelta(seconds=1)):
            assert window(Period.DAY, False, place, moment) == day
        following = window(Period.DAY, False, place, day.end)
        assert following.start == day.end
        day = following


def test_amounts_are_exact() -> None:
    row = Budget(unit="usd")

    assert row.units(Decimal("0.1")) + row.units(Decimal("0.2")) == row.units(Decimal("0.3"))
    assert row.amount(row.units(Decimal("12.000000001"))) == Decimal("12.000000001")


def test_changing_a_budget_leaves_its_counters_alone_and_has_it_counted_anew(alice: User) -> None:
    row = budget(10**12, user=alice)
    settled(opened(alice))
    before = Budget.objects.get(pk=row.pk)  # as a form has it, while calls go on
    call = opened(alice)
    admit(call, MOST)
    before.limit_units = 5
    before.save()

    assert state(row)[1] == MOST_NANO
    settled(call)
    assert state(row) == (2 * MOST_NANO, 0)


def test_calls_whose_rows_are_written_together_are_counted_once(alice: User) -> None:
    """Also where the budget is due for a new count, which sees all of their rows."""
    row = budget(10 * MOST_NANO, user=alice)
    calls = [opened(alice) for _ in range(3)]
    for call in calls:
        admit(call, MOST)
    Budget.objects.update(rolls_at=timezone.now())
    outcome = Outcome(status=Status.OK, usage=MOST, usage_source=UsageSource.REPORTED)
    post([call.close(outcome) for call in calls])
    assert state(row) == (3 * MOST_NANO, 0)
