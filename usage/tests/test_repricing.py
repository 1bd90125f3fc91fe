from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from credentials.audit import AuditEvent
from providers.vocabulary import Usage
from usage import budgets
from usage.accounts import Account, Caller, Payer
from usage.ledger import OpenCall
from usage.models import Budget, PriceOverride, Status, Surface, UsageRecord, UsageSource
from usage.repricing import book, changes
from usage.summary import totals_of

pytestmark = [pytest.mark.django_db, pytest.mark.integration]


def settled(user: User, model: str = "odd-model", provider: str = "openai") -> UsageRecord:
    payer = Payer(provider=provider, model=model, paid_by="user", is_simulated=False)
    call = OpenCall(Account(Caller(surface=Surface.API, user_id=user.pk), payer))
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000)
    return call.settle(status=Status.OK, usage=usage, usage_source=UsageSource.REPORTED)


def entered(price: str, model: str = "odd-model") -> PriceOverride:
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    row, _ = PriceOverride.objects.update_or_create(
        provider="openai",
        model=model,
        effective_from=begin,
        defaults={"input_mtok": D(price), "output_mtok": D(0)},
    )
    return row


def reprice(*options: str) -> str:
    out = StringIO()
    call_command("reprice", "--since", "2020-01-01", *options, stdout=out)
    return out.getvalue().splitlines()[-1]


def test_a_dry_run_tells_and_books_nothing(alice: User) -> None:
    row = settled(alice)
    entered("2")

    assert reprice("--dry-run") == "1 corrections would be booked, +2.000000000 USD in all."
    assert UsageRecord.objects.get() == row


def test_a_correction_adds_what_was_missing_and_leaves_the_row(alice: User) -> None:
    row = settled(alice)
    before = UsageRecord.objects.values().get()
    entered("2")

    assert reprice() == "1 corrections booked, +2.000000000 USD in all."
    assert UsageRecord.objects.filter(pk=row.pk).values().get() == before
    added = UsageRecord.objects.get(corrects=row)
    assert (added.cost_usd, added.input_tokens, added.user_id) == (D(2), 0, alice.pk)
    assert added.price_source == "entered, from 2020-01-01 00:00 UTC"
    assert reprice() == "0 corrections booked, +0 USD in all."


def test_a_second_correction_takes_the_first_into_account(alice: User) -> None:
    row = settled(alice)
    entered("2")
    reprice()
    entered("0.5")
    reprice()

    costs = UsageRecord.objects.filter(corrects=row).order_by("created_at")
    assert list(costs.values_list("cost_usd", flat=True)) == [D(2), D("-1.5")]


def test_totals_count_a_corrected_call_once_and_at_its_right_cost(alice: User) -> None:
    settled(alice)
    settled(alice, "gpt-4o-mini")
    assert totals_of(alice.pk).unpriced == 1
    entered("2")
    reprice()

    totals = totals_of(alice.pk)
    assert (totals.calls, totals.unpriced) == (2, 0)
    assert (totals.input_tokens, totals.cost_usd) == (2_000_000, D("2.1506"))
    assert not UsageRecord.objects.without_price()


def test_the_audit_trail_says_who_repriced_and_what_it_came_to(
    alice: User,
) -> None:
    settled(alice)
    settled(alice)
    entered("2")
    reprice("--dry-run")
    assert not AuditEvent.objects.exists()
    reprice("--as", "alice")
    reprice()  # books nothing, so there is nothing to tell

    event = AuditEvent.objects.get()
    assert (event.action, event.object_type, event.owner_id) == ("reprice", "ledger", None)
    assert (event.actor_id, event.actor_name) == (alice.pk, "alice")
    assert event.detail == "2 calls, +4.000000000 USD"
    entered("0.5")
    reprice()
    assert AuditEvent.objects.latest("position").actor_name.startswith("command line")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        reprice("--as", "nobody")


def test_a_reprice_that_is_broken_off_is_in_the_audit_trail_too(alice: User) -> None:
    settled(alice)
    settled(alice)
    entered("2")
    booking = book(changes(UsageRecord.objects.all()))
    next(booking)
    booking.close()

    assert AuditEvent.objects.get().detail == "1 calls, +2.000000000 USD"
    assert UsageRecord.objects.filter(corrects__isnull=False).count() == 1


def test_budgets_count_corrections_of_their_period(alice: User) -> None:
    budget = Budget.objects.create(name="Lunch", limit_units=10**12, user=alice)
    settled(alice)
    entered("2")
    reprice()

    assert budgets.fresh(Budget.objects.all()) == [budget]
    assert budgets.fresh(Budget.objects.all())[0].spent == D(2)


def test_only_what_was_asked_for_is_repriced(alice: User) -> None:
    settled(alice)
    entered("2")

    assert reprice("--model", "another").startswith("0 ")
    assert reprice("--provider", "google").startswith("0 ")
    assert reprice("--until", "2020-02-01").startswith("0 ")
    assert reprice("--provider", "openai", "--model", "odd-model").startswith("1 ")
