"""The trigger that notes each new ledger row in `PendingRollup`.

A watermark (time or sequence) would miss rows that are committed late, after rows with a later
value were rolled up. A note in the same transaction can't be missed, whoever writes the row.
"""

from __future__ import annotations

from typing import Any

POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION byom_note_pending_rollup() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO usage_pendingrollup (record_id) VALUES (NEW.id);
        RETURN NULL;
    END $$
    """,
    "DROP TRIGGER IF EXISTS usage_note_pending ON usage_usagerecord",
    """
    CREATE TRIGGER usage_note_pending AFTER INSERT ON usage_usagerecord
    FOR EACH ROW EXECUTE FUNCTION byom_note_pending_rollup()
    """,
)
SQLITE = (
    """
    CREATE TRIGGER IF NOT EXISTS usage_note_pending AFTER INSERT ON usage_usagerecord
    BEGIN INSERT INTO usage_pendingrollup (record_id) VALUES (NEW.id); END
    """,
)


REMOVE = {
    "postgresql": (
        "DROP TRIGGER IF EXISTS usage_note_pending ON usage_usagerecord",
        "DROP FUNCTION IF EXISTS byom_note_pending_rollup()",
    ),
    "sqlite": ("DROP TRIGGER IF EXISTS usage_note_pending",),
}


def install(connection: Any) -> None:
    """Makes the trigger, if it is not there: SQLite loses it when a migration remakes the table."""
    with connection.cursor() as cursor:
        for statement in POSTGRESQL if connection.vendor == "postgresql" else SQLITE:
            cursor.execute(statement)


def remove(connection: Any) -> None:
    with connection.cursor() as cursor:
        for statement in REMOVE[connection.vendor]:
            cursor.execute(statement)
