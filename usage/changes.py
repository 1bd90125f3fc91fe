"""How a process learns that another has changed what it remembers.

Triggers note each change in a table that is nearly empty, in the transaction that makes it, whoever
makes it: a query set's `update`, a worker, somebody in psql. To look there is one small query for
all that a process remembers, where to read all of it anew takes five for each access token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from usage.change_models import Change

KEPT = timedelta(minutes=5)
LIFTED_SECONDS = 600.0  # for a migration
_TABLE = Change._meta.db_table
_PREFIX = "note_change_"
_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION byom_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO {_TABLE} DEFAULT VALUES;
        RETURN NULL;
    END $$
"""  # noqa: S608

# Not the highest number alone: it is given before the transaction ends, and one that took longer
# comes to light after others with higher numbers. Rows that are dropped change the sum too.
_SEEN = f"SELECT count(*), coalesce(sum(id), 0) FROM {_TABLE}"  # noqa: S608

_watched: dict[Any, frozenset[str]] = {}


def watch(model: Any, but: frozenset[str]) -> None:
    """Has the changes of that model's rows noted, except where only fields in `but` change."""
    _watched[model] = _watched.get(model, but) & but


def seen() -> tuple[int, int]:
    """The same as before if, and only if, nothing that is watched has changed since. Uses the
    database."""
    with connection.cursor() as cursor:
        cursor.execute(_SEEN)
        number, total = cursor.fetchone()
    return number, int(total)


def look_after() -> None:
    """For a timer: drops old notes, and makes triggers that a migration left out which failed.

    A transaction may have been open for so long that its note is old when it comes to light: that
    something was dropped is a change too.
    """
    if _are_missed_for_long(connection):
        install(connection)
    with transaction.atomic():
        dropped, _ = Change.objects.filter(at__lt=timezone.now() - KEPT).delete()
        if dropped:
            Change.objects.create()


class _Missed:
    since: float | None = None


def _are_missed_for_long(connection: Any) -> bool:
    """A migration that is under way has taken them away, and must not meet them."""
    wanted = {(one.name, one.table) for one in _triggers()}
    if wanted <= _there(connection):
        _Missed.since = None
        return False
    now = monotonic()
    _Missed.since = now if _Missed.since is None else _Missed.since
    return now - _Missed.since >= LIFTED_SECONDS


class _Trigger(NamedTuple):
    """Its name says all that it does, so that one of another version has another name."""

    name: str
    table: str
    event: str

    def statement(self, vendor: str) -> str:
        start = f'CREATE TRIGGER {self.name} AFTER {self.event} ON "{self.table}" FOR EACH ROW '
        if vendor == "postgresql":
            return start + "EXECUTE FUNCTION byom_note_change()"
        return (
            start
            + f"BEGIN INSERT INTO {_TABLE} (at) VALUES (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')); END"
        )  # noqa: S608


def install(connection: Any) -> None:
    """Makes the triggers that are not there, for the tables that are: SQLite loses those of a table
    that a migration remakes."""
    tables = connection.introspection.table_names()
    if _TABLE not in tables:
        return
    there = _there(connection)
    wanted = {one for one in _triggers() if one.table in tables}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and not there:
            cursor.execute(_FUNCTION)
        _drop(cursor, connection.vendor, there - {(one.name, one.table) for one in wanted})
        for one in wanted:
            if (one.name, one.table) not in there:
                cursor.execute(one.statement(connection.vendor))


def remove(connection: Any) -> None:
    with connection.cursor() as cursor:
        _drop(cursor, connection.vendor, _there(connection))
        if connection.vendor == "postgresql":
            cursor.execute("DROP FUNCTION IF EXISTS byom_note_change()")


def _triggers() -> Iterator[_Trigger]:
    for model, but in _watched.items():
        table = model._meta.db_table
        columns = [f'"{one.column}"' for one in model._meta.concrete_fields if one.name not in but]
        for event in ("INSERT", "DELETE", f"UPDATE OF {', '.join(columns)}"):
            digest = blake2b(f"{table} {event}".encode(), digest_size=6).hexdigest()
            yield _Trigger(f"{_PREFIX}{event[:6].lower()}_{digest}", table, event)


def _there(connection: Any) -> set[tuple[str, str]]:
    """Names and tables of those that there are."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
                " WHERE t.tgname LIKE %s AND pg_table_is_visible(c.oid)",
                [f"{_PREFIX}%"],
            )
        else:
            cursor.execute(
                "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
                [f"{_PREFIX}%"],
            )
        return {(name, table) for name, table in cursor.fetchall()}


def _drop(cursor: Any, vendor: str, triggers: Iterable[tuple[str, str]]) -> None:
    for name, table in triggers:
        on = f' ON "{table}"' if vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on}")
