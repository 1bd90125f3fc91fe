"""Writing the ledger: rows, and in one transaction with them what they count in budgets."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.utils import timezone

from credentials.lifecycle import note_use
from usage import budgets, leases
from usage.budget_models import Budget
from usage.models import Status, UsageRecord
from usage.price_lists import is_read
from usage.price_models import known_overrides
from usage.signals import call_settled

if TYPE_CHECKING:
    from usage.ledger import Closed

_NAMES = [f'"{field.column}"' for field in UsageRecord._meta.concrete_fields]
_COLUMNS = ", ".join(_NAMES)
_VALUES = _COLUMNS.replace('"created_at"', "%(now)s")

# The database adds nothing to a budget whose period is over: that one is added up anew at the
# next look, this row with it. To look first would not be safe: somebody may be adding it up just
# now, without this row. The update waits for them and sees what they left.
_UNITS = "CASE WHEN b.rolls_at > %(now)s AND b.counted_from <= %(now)s THEN {units} ELSE 0 END"

# All in one statement, and so in one trip: a trip costs as much as the statement.
_ROWS = f"""
    INSERT INTO usage_usagerecord ({_COLUMNS})
    SELECT {_VALUES} FROM json_populate_recordset(NULL::usage_usagerecord, %(rows)s::json)
"""  # noqa: S608
_ROWS_AND_A_BUDGET = f"""
WITH put AS ({_ROWS})
UPDATE usage_budget b SET spent_units = b.spent_units + {_UNITS.format(units="%(units)s::bigint")}
WHERE b.id = %(budget)s
RETURNING b.id, b.rolls_at <= %(now)s
"""  # noqa: S608
_ROWS_AND_BUDGETS = f"""
WITH put AS ({_ROWS}), c AS MATERIALIZED (
    SELECT s.id, s.units FROM json_to_recordset(%(sums)s::json) AS s(id uuid, units bigint)
), taken AS MATERIALIZED (
    SELECT o.id FROM usage_budget o WHERE o.id IN (SELECT id FROM c) ORDER BY o.id FOR UPDATE
)
UPDATE usage_budget b SET spent_units = b.spent_units + {_UNITS.format(units="c.units")}
FROM c, taken WHERE b.id = c.id AND b.id = taken.id
RETURNING b.id, b.rolls_at <= %(now)s
"""  # noqa: S608

_SQLITE = """
UPDATE usage_budget SET spent_units = spent_units
    + CASE WHEN rolls_at > %s AND counted_from <= %s THEN %s ELSE 0 END
WHERE id = %s RETURNING rolls_at <= %s
"""


class Made(NamedTuple):
    """A ledger row before it is written, the same in JSON for PostgreSQL, and what it counts in
    each budget."""

    record: UsageRecord
    text: str
    sums: list[tuple[uuid.UUID, int]]


def make_ahead(entry: Closed) -> None:
    """Makes the row here and now, if that takes no database. Where one thread takes calls and
    another writes them, the less the second has to do the better: Python lets only one of them
    work, and to change between them costs more than to make a row."""
    entered = known_overrides()
    if entry.call.has_reservations or entered is None or not is_read():
        return
    record = entry.record(entered)
    found = budgets.known_over(budgets.parties_of(record))
    if found is not None:
        entry.made = _made(record, found)


def post(entries: Sequence[Closed]) -> list[UsageRecord]:
    """Writes a row for each call that is over, and tells who wants to know. All are durable when
    this returns, or none is."""
    records = write(entries)
    for entry, record in zip(entries, records, strict=True):
        announce(entry, record)
    return records


def write(entries: Sequence[Closed]) -> list[UsageRecord]:
    """The same, and tells nobody: `announce` does."""
    own = [entry.record() for entry in entries if entry.call.has_reservations]
    if own:
        with transaction.atomic():
            UsageRecord.objects.bulk_create(own)
            for record in own:
                budgets.charge(record)
    plain = [entry.made or _made_now(entry) for entry in entries if not entry.call.has_reservations]
    if plain:
        _write(plain)
    written = {record.pk: record for record in (*own, *(made.record for made in plain))}
    records = [written[entry.call.id] for entry in entries]
    for entry, record in zip(entries, records, strict=True):
        if record.credential_id and record.status != Status.CANCELLED:
            note_use(record.credential_id, record.error_code, entry.outcome.reason)
    return records


def _made_now(entry: Closed) -> Made:
    record = entry.record()
    return _made(record, budgets.over(record))


def _made(record: UsageRecord, counted_in: Sequence[Budget]) -> Made:
    text = _encode(_as_json(record)) if _on_postgresql() else ""
    return Made(record, text, [(budget.pk, budget.units_of(record)) for budget in counted_in])


def _write(rows: Sequence[Made]) -> None:
    now = timezone.now()
    sums: dict[uuid.UUID, int] = defaultdict(int)
    for row in rows:
        row.record.created_at = now
        for pk, units in row.sums:
            sums[pk] += units
    put = _in_one_trip if _on_postgresql() else _in_one_transaction
    for pk in put(rows, sorted(sums.items()), now):
        budgets.recount(pk)


def _in_one_trip(
    rows: Sequence[Made], sums: Sequence[tuple[uuid.UUID, int]], now: datetime
) -> list[uuid.UUID]:
    """The budgets that are due for a new count."""
    given: dict[str, Any] = {"rows": f"[{','.join(row.text for row in rows)}]", "now": now}
    match sums:
        case []:
            found = _said_by_postgresql(_ROWS, given)
        case [(pk, units)]:
            given |= {"budget": pk, "units": units}
            found = _said_by_postgresql(_ROWS_AND_A_BUDGET, given)
        case several:
            told = [{"id": str(pk), "units": units} for pk, units in several]
            found = _said_by_postgresql(_ROWS_AND_BUDGETS, given | {"sums": json.dumps(told)})
    for row in rows:
        state = row.record._state
        state.adding, state.db = False, DEFAULT_DB_ALIAS
    return [pk for pk, is_due in found if is_due]


def _said_by_postgresql(statement: str, given: Mapping[str, Any]) -> list[Any]:
    """Planned once for each connection, which Django does not do by itself: it is a fifth of the
    time. A pooler that takes connections apart can't know the plan; who has one tells Django so by
    DISABLE_SERVER_SIDE_CURSORS."""
    connection.ensure_connection()
    raw: Any = connection.connection
    keeps_plans = not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.execute(statement, given, prepare=keeps_plans)
        return cursor.fetchall() if cursor.description else []


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _as_json(record: UsageRecord) -> dict[str, Any]:
    """As PostgreSQL reads a row from JSON. Texts hold no NUL, which it could not store."""
    row = dict(record.__dict__)
    for name in ("_state", "warnings", "created_at"):
        row.pop(name, None)
    for name in ("id", "session_id", "attempt_of", "credential_id", "cost_usd"):
        if row[name] is not None:
            row[name] = str(row[name])
    return row


def _in_one_transaction(
    rows: Sequence[Made], sums: Sequence[tuple[uuid.UUID, int]], now: datetime
) -> list[uuid.UUID]:
    due = []
    with transaction.atomic():
        UsageRecord.objects.bulk_create([row.record for row in rows])
        with connection.cursor() as cursor:
            for pk, units in sums:
                cursor.execute(_SQLITE, [now, now, units, pk.hex, now])
                due += [pk for row in cursor.fetchall() if row[0]]
    return due


@cache
def _on_postgresql() -> bool:
    return connection.vendor == "postgresql"


def announce(entry: Closed, record: UsageRecord) -> None:
    """Tells who wants to know; uses no database. A lease is given back only when the row has been
    charged, so that nothing is promised twice."""
    call = entry.call
    leases.give_back(call.held)
    call.held = ()
    call_settled.send_robust(type(call), record=record, operation=call.operation, lag=entry.lag())
