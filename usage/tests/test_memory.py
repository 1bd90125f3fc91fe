"""What is remembered, and what makes it forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from agents.models import SelectionPolicy
from credentials.models import AccessToken, ModelAlias
from credentials.tests.factories import CredentialFactory
from usage import changes
from usage.apps import keep_triggers, lift_triggers
from usage.budget_models import Budget
from usage.change_models import Change
from usage.memory import MOST_SECONDS, SECONDS, Looks, Memory


class World:
    """A clock, and a database in which something may change."""

    def __init__(self) -> None:
        self.now = 0.0
        self.changes = 0
        self.looked = 0
        self.looks = Looks(clock=lambda: self.now, seen=self.seen)
        self.memory: Memory[str, int] = Memory(self.looks)

    def seen(self) -> int:
        self.looked += 1
        return self.changes

    def keep(self, value: int, seconds: float | None = None) -> None:
        self.looks.look()
        self.memory.keep("a", value, self.memory.age, seconds)


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_known_that_was_not_looked_after_within_a_second(world: World) -> None:
    world.keep(1)
    assert world.memory.get("a") == 1
    world.now = SECONDS
    assert world.memory.get("a") is None
    world.looks.look()
    assert world.memory.get("a") == world.memory.known("a") == 1


def test_one_of_those_who_ask_is_sent_to_look_before_the_others_have_to(world: World) -> None:
    world.keep(1)
    world.now = 0.6 * SECONDS
    assert [world.memory.get("a") for _ in range(3)] == [None, 1, 1]
    world.now = 1.2 * SECONDS  # that one has never come back
    assert [world.memory.get("a") for _ in range(2)] == [None, None]
    world.looks.look()
    assert world.memory.get("a") == 1


def test_one_look_is_enough_for_all_who_come_at_once(world: World) -> None:
    for _ in range(3):
        world.looks.look()
    assert world.looked == 1


def test_a_change_makes_everything_forgotten(world: World) -> None:
    world.keep(1)
    world.changes += 1
    world.now = 0.5
    world.looks.look()
    assert world.memory.get("a") is None and world.memory.known("a") is None


def test_what_was_read_before_a_change_was_found_is_not_kept(world: World) -> None:
    world.looks.look()
    age = world.memory.age
    world.changes += 1
    world.now = 0.5
    world.looks.look()
    world.memory.keep("a", 1, age)
    assert world.memory.known("a") is None


def test_what_was_read_before_a_change_of_our_own_is_not_kept_after_it(world: World) -> None:
    world.looks.look()
    age = world.memory.age
    world.memory.forget()
    world.memory.keep("a", 1, age)
    assert world.memory.get("a") is None


@pytest.mark.parametrize(("seconds", "ends"), [(None, MOST_SECONDS), (5.0, 5.0), (-1.0, 0.0)])
def test_nothing_is_known_for_longer_than_it_is_good(
    world: World, seconds: float | None, ends: float
) -> None:
    world.keep(1, seconds)
    sent = 0
    while world.memory.known("a") == 1 or world.now < ends:
        world.now += 0.3
        world.looks.look()
        sent += world.memory.get("a") is None
        assert world.now < ends + SECONDS
    assert world.memory.get("a") is None
    assert seconds == -1.0 or sent >= 1  # one was sent to read it anew while others had it


# What others change, in whatever way.


@pytest.fixture
def rows(db: None, alice: User) -> dict[str, Any]:
    credential = CredentialFactory.create(owner=alice)
    return {
        "user": alice,
        "credential": credential,
        "token": AccessToken.issue(user=alice, name="t")[0],
        "budget": Budget.objects.create(name="b", user=alice, limit_units=5),
        "alias": ModelAlias.objects.create(
            owner=alice, name="fast", provider="openai", model_name="gpt-4o-mini"
        ),
        "policy": SelectionPolicy.objects.create(user=alice),
    }


@pytest.fixture
def noted() -> Iterator[Callable[[], bool]]:
    """Whether a change has been noted since the last time."""
    last: tuple[int, int] | None = None

    def noted() -> bool:
        nonlocal last
        before, last = last, changes.seen()
        return before != last

    yield noted


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("user", {"is_active": False}),
        ("credential", {"is_active": False}),
        ("credential", {"base_url": "https://example.com"}),
        ("credential", {"quarantine_reason": "revoked"}),
        ("token", {"scopes": []}),
        ("budget", {"limit_units": 7}),
        ("alias", {"model_name": "gpt-4o"}),
        ("policy", {"system_key_forbidden": True}),
    ],
)
def test_what_calls_hang_on_is_noted_also_where_no_signal_tells_of_it(
    rows: dict[str, Any], noted: Callable[[], bool], what: str, fields: dict[str, Any]
) -> None:
    row = rows[what]
    found = type(row)._base_manager.filter(pk=row.pk)
    noted()
    found.update(**fields)
    assert noted()
    assert not noted()


@pytest.mark.parametrize(
    ("what", "field"),
    [("user", "last_login"), ("credential", "last_used_at"), ("token", "last_used_at")],
)
def test_what_every_call_may_write_is_not(
    rows: dict[str, Any], noted: Callable[[], bool], what: str, field: str
) -> None:
    row = rows[what]
    noted()
    type(row)._base_manager.filter(pk=row.pk).update(**{field: timezone.now()})
    Budget.objects.filter(pk=rows["budget"].pk).update(spent_units=3, reserved_units=1)
    assert not noted()


def test_what_is_taken_back_is_as_if_it_had_not_been(
    rows: dict[str, Any], noted: Callable[[], bool]
) -> None:
    noted()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        User.objects.update(is_active=False)
        assert noted()
        raise ZeroDivisionError
    assert noted()  # once more: what was read in between is not to be trusted


@pytest.mark.integration
def test_triggers_are_made_once_and_anew_where_one_is_missing(db: None) -> None:
    there = changes._there(connection)
    name, table = next(one for one in there if one[1] == "usage_budget")
    with connection.cursor() as cursor:
        changes._drop(cursor, connection.vendor, [(name, table)])
        changes._drop(cursor, connection.vendor, [])
    assert changes._there(connection) == there - {(name, table)}
    changes.install(connection)
    assert changes._there(connection) == there


def test_old_notes_are_dropped_and_that_is_a_change(db: None, noted: Callable[[], bool]) -> None:
    Change.objects.all().delete()
    noted()
    new = Change.objects.create()
    old = Change.objects.create()  # of a transaction that has been open for long
    Change.objects.filter(pk=old.pk).update(at=timezone.now() - 2 * changes.KEPT)
    new.delete()
    changes.look_after()
    assert noted()
    changes.look_after()
    assert not noted() and Change.objects.count() == 1


def test_what_was_read_under_an_earlier_number_is_kept_under_that_one(world: World) -> None:
    """A look may end between the two halves of keeping."""
    world.looks.look()
    age = world.memory.age
    clock = world.looks.clock

    def looking() -> float:
        world.looks.clock = clock
        world.changes += 1
        world.now = 0.5
        world.looks.look()
        return clock()

    world.looks.clock = looking
    world.memory.keep("a", 1, age)
    assert world.memory.known("a") is None


@pytest.mark.integration
def test_a_migration_may_change_a_watched_column(db: None) -> None:
    there = changes._there(connection)
    lift_triggers("default", plan=[()])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE usage_budget ALTER COLUMN name TYPE varchar(300)")
    keep_triggers("default")
    assert changes._there(connection) == there


@pytest.mark.integration
def test_triggers_that_a_failed_migration_left_out_come_back(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = changes._there(connection)
    lift_triggers("default", plan=[()])
    changes.look_after()
    assert not changes._there(connection)  # the migration may still be under way
    monkeypatch.setattr(changes, "LIFTED_SECONDS", 0.0)
    changes.look_after()
    assert changes._there(connection) == there
    changes.look_after()
    assert changes._Missed.since is None
