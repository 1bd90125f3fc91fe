"""Room in budgets that a process divides among its calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from providers.vocabulary import Usage
from usage import budgets, leases, memory
from usage.admission import BudgetSpent, PriceUnknown, admit, admit_at_once, make_room
from usage.ledger import OpenCall
from usage.models import Budget, Reservation
from usage.tests.test_budgets import MOST, MOST_NANO, budget, opened, settled, state

pytestmark = [pytest.mark.django_db, pytest.mark.integration]
PLENTY = 10_000 * MOST_NANO


def readied(user: User, **payer: Any) -> OpenCall:
    """A call that can be admitted at once, where its budgets have plenty."""
    call = opened(user, **payer)
    make_room(call, MOST)
    return call


def test_where_there_is_plenty_calls_are_admitted_without_the_database(
    alice: User, django_assert_num_queries: Any
) -> None:
    row = budget(PLENTY, user=alice)
    readied(alice)

    with django_assert_num_queries(0):
        calls = [opened(alice) for _ in range(100)]
        assert all(admit_at_once(call, MOST) for call in calls)
    assert not any(call.has_reservations for call in calls)
    held = Reservation.objects.get(budget=row)
    assert state(row) == (0, held.units)
    assert 100 * MOST_NANO <= held.units <= PLENTY // leases.SHARE


def test_a_settled_call_is_charged_to_the_nano_dollar(alice: User) -> None:
    row = budget(PLENTY, user=alice)
    readied(alice)
    for _ in range(5):
        call = opened(alice)
        assert admit_at_once(call, MOST)
        settled(call, Usage(input_tokens=1_000, output_tokens=100))

    assert state(row)[0] == 5 * (150_000 + 60_000)


def test_what_nobody_needs_goes_back(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    row = budget(PLENTY, user=alice)
    readied(alice)
    call = opened(alice)
    assert admit_at_once(call, MOST)
    monkeypatch.setattr(leases, "IDLE_SECONDS", -1.0)

    assert leases.tidy()  # a call is under way
    assert state(row)[1] > 0
    settled(call)
    assert not leases.tidy()
    assert state(row) == (MOST_NANO, 0)
    assert not Reservation.objects.exists()


def test_a_lease_that_goes_back_leaves_what_calls_under_way_hold(alice: User) -> None:
    row = budget(PLENTY, user=alice)
    readied(alice)
    assert admit_at_once(opened(alice), MOST)
    leases.give_all_back()

    assert state(row) == (0, MOST_NANO)
    assert not admit_at_once(opened(alice), MOST)


def test_a_lease_is_not_used_any_more_once_its_budget_was_changed(alice: User) -> None:
    row = budget(PLENTY, user=alice)
    readied(alice)
    Budget.objects.filter(pk=row.pk).update(limit_units=0)  # by another process, say
    assert admit_at_once(opened(alice), MOST)  # nobody has looked yet
    memory.looks.forget()
    memory.looks.look()

    call = opened(alice)
    assert not admit_at_once(call, MOST)
    make_room(call, MOST)
    assert not admit_at_once(call, MOST)
    with pytest.raises(BudgetSpent):
        admit(call, MOST)


def test_where_room_is_scarce_each_call_asks_the_database(alice: User) -> None:
    row = budget(20 * MOST_NANO, user=alice)
    call = readied(alice)

    assert not admit_at_once(call, MOST)
    assert not Reservation.objects.exists()
    admit(call, MOST)
    assert call.has_reservations
    assert state(row) == (0, MOST_NANO)


def test_a_lease_and_others_calls_never_promise_more_than_there_is(alice: User) -> None:
    """The room of 200 calls, of which a lease may take a sixteenth part at a time."""
    row = budget(200 * MOST_NANO, user=alice)
    served = 0
    while served < 300:
        call = opened(alice)
        make_room(call, MOST)
        if not admit_at_once(call, MOST):
            try:
                admit(call, MOST)
            except Exception:
                break
        served += 1
        spent, reserved = state(row)
        assert spent + reserved <= row.limit_units
    assert served == 200


def test_it_is_refused_at_once_that_has_no_price_where_one_is_asked_for(alice: User) -> None:
    budget(PLENTY, user=alice, refuses_unpriced=True)
    readied(alice)

    with pytest.raises(PriceUnknown):
        admit_at_once(opened(alice, model="nobody-knows-this"), MOST)


def test_a_call_that_is_refused_by_a_rate_limit_gives_its_part_back(
    alice: User, settings: Any
) -> None:
    settings.RATE_LIMITS = {
        **settings.RATE_LIMITS, "user": {"calls": 1, "tokens": 0, "concurrent": 0}
    }  # fmt: skip
    budget(PLENTY, user=alice)
    readied(alice)
    assert admit_at_once(opened(alice), MOST)
    before = sum(lease.out for lease in leases._leases.values())
    with pytest.raises(Exception, match="limit of 1 calls"):
        admit_at_once(opened(alice), MOST)
    assert sum(lease.out for lease in leases._leases.values()) == before == MOST_NANO


def test_a_budget_that_was_just_made_is_counted_once_more(alice: User) -> None:
    """Other processes may not have known of it, and charged nothing."""
    row = budget(PLENTY, user=alice)
    (seen,) = budgets.fresh([row])
    settled(opened(alice))
    Budget.objects.filter(pk=row.pk).update(spent_units=0)  # as if that one had not known

    assert seen.rolls_at < timezone.now() + budgets.SETTLING
    Budget.objects.filter(pk=row.pk).update(
        rolls_at=timezone.now(), updated_at=timezone.now() - timedelta(seconds=10)
    )
    (again,) = budgets.fresh(Budget.objects.filter(pk=row.pk))
    assert again.spent_units == MOST_NANO
    assert again.rolls_at == again.resets_at
