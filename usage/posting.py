"""Writing the ledger: rows, and in one transaction with them what they count in budgets. Only what
an event loop writes is charged later (`usage.charges`)."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from credentials.lifecycle import note_use
from usage import budgets, leases
from usage.models import Status, UsageRecord
from usage.row_text import as_json
from usage.signals import Settled, calls_settled

if TYPE_CHECKING:
    from usage.ledger import Closed, OpenCall

_NAMES = [f'"{field.column}"' for field in UsageRecord._meta.concrete_fields]
_COLUMNS = ", ".join(_NAMES)
_VALUES = _COLUMNS.replace('"created_at"', "$1::timestamptz")

# The database adds nothing to a budget whose period is over: that one is added up anew at the
# next look, this row with it. To look first would not be safe: somebody may be adding it up just
# now, without this row. The update waits for them and sees what they left.
_UNITS = (
    "CASE WHEN b.rolls_at > $1::timestamptz AND b.counted_from <= $1::timestamptz"
    " THEN {units} ELSE 0 END"
)

# All in one statement, and so in one trip: a trip costs as much as the statement. $1 is now, $2
# the rows in JSON. ROWS_ALONE tells the number of its transaction, for `usage.charges`.
_ROWS = f"""
    INSERT INTO usage_usagerecord ({_COLUMNS})
    SELECT {_VALUES} FROM json_populate_recordset(NULL::usage_usagerecord, $2::json)
"""  # noqa: S608
ROWS_ALONE = f"WITH put AS ({_ROWS}) SELECT pg_current_xact_id()"
_ROWS_AND_A_BUDGET = f"""
WITH put AS ({_ROWS})
UPDATE usage_budget b SET spent_units = b.spent_units + {_UNITS.format(units="$4::bigint")}
WHERE b.id = $3::uuid
RETURNING b.id, b.rolls_at <= $1::timestamptz
"""  # noqa: S608
_ROWS_AND_BUDGETS = f"""
WITH put AS ({_ROWS}), c AS MATERIALIZED (
    SELECT s.id, s.units FROM json_to_recordset($3::json) AS s(id uuid, units bigint)
), taken AS MATERIALIZED (
    SELECT o.id FROM usage_budget o WHERE o.id IN (SELECT id FROM c) ORDER BY o.id FOR UPDATE
)
UPDATE usage_budget b SET spent_units = b.spent_units + {_UNITS.format(units="c.units")}
FROM c, taken WHERE b.id = c.id AND b.id = taken.id
RETURNING b.id, b.rolls_at <= $1::timestamptz
"""  # noqa: S608
PATIENCE_SECONDS = 15.0  # with a database that is away

_SQLITE = """
UPDATE usage_budget SET spent_units = spent_units
    + CASE WHEN rolls_at > %s AND counted_from <= %s THEN %s ELSE 0 END
WHERE id = %s RETURNING rolls_at <= %s
"""


class Made(NamedTuple):
    """A ledger row before it is written, the same in JSON for PostgreSQL, and what it counts in
    each budget, by the number that its id is."""

    record: UsageRecord
    text: str
    sums: Sequence[tuple[int, int]]


class Batch(NamedTuple):
    """Rows that one statement writes: its values, when, and what they count in each budget."""

    values: list[str]
    at: datetime
    sums: list[tuple[int, int]]


def make_ahead(entry: Closed) -> None:
    """Makes the row here and now, if that takes no database. Where one thread takes calls and
    another writes them, the less the second has to do the better: Python lets only one of them
    work, and to change between them costs more than to make a row."""
    call = entry.call
    if not call.has_reservations and (terms := call.account.terms()):
        record = entry.record(terms)
        units = terms.counted(record.input_tokens + record.output_tokens, record.cost_usd)
        entry.made = Made(record, _text(call, record), units)


def post(entries: Sequence[Closed]) -> list[UsageRecord]:
    """Writes a row for each call that is over, and tells who wants to know. All are durable when
    this returns, or none is."""
    records = write_patiently(entries)
    land(entries)
    announce(list(zip(entries, records, strict=True)))
    return records


def write_patiently(entries: Sequence[Closed]) -> list[UsageRecord]:
    """`write`, again and again while the database can't be reached: the calls have been made, and
    a database that is started anew is away for seconds. Blocks so long."""
    until, wait = monotonic() + PATIENCE_SECONDS, 0.05
    while True:
        try:
            return write(entries)
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or monotonic() + wait > until:
                raise
            connection.close()
        sleep(wait)
        wait = min(2 * wait, 2.0)


def write(entries: Sequence[Closed]) -> list[UsageRecord]:
    """The same, and tells nobody: `announce` does."""
    own = [entry.record() for entry in entries if entry.call.has_reservations]
    if own:
        with transaction.atomic():
            UsageRecord.objects.bulk_create(own)
            budgets.charge(own)
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
    units = [(budget.id.int, budget.units_of(record)) for budget in budgets.over(record)]
    return Made(record, _text(entry.call, record), units)


def _text(call: OpenCall, record: UsageRecord) -> str:
    return as_json(call, record) if on_postgresql() else ""


def _write(rows: Sequence[Made]) -> None:
    put = _in_one_trip if on_postgresql() else _in_one_transaction
    for pk in put(rows):
        budgets.recount(pk)


def _in_one_trip(rows: Sequence[Made]) -> list[uuid.UUID]:
    """The budgets that are due for a new count. The statement is planned once for each connection,
    which Django does not do by itself: it is a fifth of the time."""
    statement, values = _one_trip(rows)
    connection.ensure_connection()
    raw: Any = connection.connection
    with connection.wrap_database_errors, psycopg.RawCursor(raw) as cursor:
        cursor.execute(statement, values, prepare=keeps_plans())
        found = cursor.fetchall() if cursor.description else []
    note_written(rows)
    return [pk for pk, is_due in found if is_due]


def keeps_plans() -> bool:
    """A pooler that takes connections apart can't know a plan; who has one tells Django so by
    DISABLE_SERVER_SIDE_CURSORS."""
    return not connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]


def _one_trip(rows: Sequence[Made]) -> tuple[str, list[str]]:
    """PostgreSQL's statement that writes the rows and charges their budgets, and its values. It
    returns the budgets it found, and whether each is due for a new count."""
    batch = rows_alone(rows)
    match batch.sums:
        case []:
            return _ROWS, batch.values
        case [(number, units)]:
            return _ROWS_AND_A_BUDGET, [*batch.values, _as_uuid(number), str(units)]
        case several:
            told = [{"id": _as_uuid(number), "units": units} for number, units in several]
            return _ROWS_AND_BUDGETS, [*batch.values, json.dumps(told)]


def rows_alone(rows: Sequence[Made]) -> Batch:
    """The values of ROWS_ALONE."""
    now, sums = _dated(rows)
    return Batch([now.isoformat(), f"[{','.join([row.text for row in rows])}]"], now, sums)


def note_written(rows: Sequence[Made]) -> None:
    for row in rows:
        state = row.record._state
        state.adding, state.db = False, DEFAULT_DB_ALIAS


@lru_cache(4096)  # as it is slow to make
def _as_uuid(number: int) -> str:
    return str(uuid.UUID(int=number))


def _dated(rows: Sequence[Made]) -> tuple[datetime, list[tuple[int, int]]]:
    """When they are written, which the rows know from here on, and what they count in each budget,
    in the order of the budgets' keys."""
    now = timezone.now()
    sums: dict[int, int] = defaultdict(int)
    for row in rows:
        row.record.created_at = now
        for number, units in row.sums:
            sums[number] += units
    return now, sorted(sums.items())


def _in_one_transaction(rows: Sequence[Made]) -> list[uuid.UUID]:
    now, sums = _dated(rows)
    due = []
    with transaction.atomic():
        UsageRecord.objects.bulk_create([row.record for row in rows])
        with connection.cursor() as cursor:
            for number, units in sums:
                pk = uuid.UUID(int=number)
                cursor.execute(_SQLITE, [now, now, units, pk.hex, now])
                due += [pk for row in cursor.fetchall() if row[0]]
    return due


@cache
def on_postgresql() -> bool:
    return connection.vendor == "postgresql"


def land(entries: Iterable[Closed]) -> None:
    """Notes that rows are durable. A lease is given back only now that the row has been charged, so
    that nothing is promised twice."""
    now = perf_counter()
    for entry in entries:
        entry.landed = now
        call = entry.call
        if call.held:
            leases.give_back(call.held)
            call.held = ()


def announce(calls: Sequence[tuple[Closed, UsageRecord]]) -> None:
    """Tells who wants to know of calls whose rows have landed; uses no database."""
    now = perf_counter()
    settled = [
        Settled(record, entry.call.operation, entry.landed - entry.end, now - entry.end)
        for entry, record in calls
    ]
    calls_settled.send_robust(UsageRecord, calls=settled)
