"""Writing the ledger: rows, and in one transaction with them what they count in budgets."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection, transaction
from django.utils import timezone

from credentials.lifecycle import note_use
from usage import budgets, leases
from usage.models import Status, UsageRecord
from usage.signals import call_settled

if TYPE_CHECKING:
    from usage.ledger import Closed

_COLUMNS = ", ".join(f'"{field.column}"' for field in UsageRecord._meta.concrete_fields)

# The database adds nothing to a budget whose period is over: that one is added up anew at the
# next look, this row with it. To look first would not be safe: somebody may be adding it up just
# now, without this row. The update waits for them and sees what they left.
_UNITS = "CASE WHEN b.rolls_at > %(now)s AND b.counted_from <= %(now)s THEN {units} ELSE 0 END"

# All in one statement, and so in one trip: a trip costs as much as the statement.
_ROWS = f"""
    INSERT INTO usage_usagerecord ({_COLUMNS})
    SELECT {_COLUMNS} FROM json_populate_recordset(NULL::usage_usagerecord, %(rows)s::json)
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


def post(entries: Sequence[Closed]) -> list[UsageRecord]:
    """Writes a row for each call that is over, and tells who wants to know. All are durable when
    this returns, or none is."""
    records = [entry.record() for entry in entries]
    own = [one for one, entry in zip(records, entries, strict=True) if entry.call.has_reservations]
    plain = [
        one for one, entry in zip(records, entries, strict=True) if not entry.call.has_reservations
    ]
    if own:
        with transaction.atomic():
            UsageRecord.objects.bulk_create(own)
            for record in own:
                budgets.charge(record)
    if plain:
        _post(plain)
    for entry, record in zip(entries, records, strict=True):
        announce(entry, record)
    return records


def _post(records: Sequence[UsageRecord]) -> None:
    now = timezone.now()
    for record in records:
        record.created_at = now
    put = _in_one_trip if connection.vendor == "postgresql" else _in_one_transaction
    for pk in put(records, budgets.sums(records), now):
        budgets.recount(pk)


def _in_one_trip(
    records: Sequence[UsageRecord], sums: Mapping[uuid.UUID, int], now: datetime
) -> list[uuid.UUID]:
    """The budgets that are due for a new count."""
    given: dict[str, Any] = {"rows": json.dumps([_as_json(record) for record in records])}
    match list(sums.items()):
        case []:
            found = _said_by_postgresql(_ROWS, given)
        case [(pk, units)]:
            given |= {"budget": pk, "units": units, "now": now}
            found = _said_by_postgresql(_ROWS_AND_A_BUDGET, given)
        case several:
            told = [{"id": str(pk), "units": units} for pk, units in several]
            given |= {"sums": json.dumps(told), "now": now}
            found = _said_by_postgresql(_ROWS_AND_BUDGETS, given)
    for record in records:
        record._state.adding, record._state.db = False, connection.alias
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


def _as_json(record: UsageRecord) -> dict[str, Any]:
    """As PostgreSQL reads a row from JSON. Texts hold no NUL, which it could not store."""
    row = dict(record.__dict__)
    del row["_state"]
    row.pop("warnings", None)
    for name in ("id", "session_id", "attempt_of", "credential_id", "cost_usd", "created_at"):
        if row[name] is not None:
            row[name] = str(row[name])
    return row


def _in_one_transaction(
    records: Sequence[UsageRecord], sums: Mapping[uuid.UUID, int], now: datetime
) -> list[uuid.UUID]:
    due = []
    with transaction.atomic():
        UsageRecord.objects.bulk_create(records)
        with connection.cursor() as cursor:
            for pk, units in sums.items():
                cursor.execute(_SQLITE, [now, now, units, pk.hex, now])
                due += [pk for row in cursor.fetchall() if row[0]]
    return due


def announce(entry: Closed, record: UsageRecord) -> None:
    """Tells who wants to know. A lease is given back only when the row has been charged, so that
    nothing is promised twice."""
    leases.give_back(entry.call.held)
    entry.call.held = ()
    if record.credential_id and record.status != Status.CANCELLED:
        note_use(record.credential_id, record.error_code, entry.outcome.reason)
    call = entry.call
    call_settled.send_robust(type(call), record=record, operation=call.operation, lag=entry.lag())
