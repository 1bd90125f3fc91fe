"""The database itself refuses to change audit events.

A second fence behind the model's own: it stops a slip in a SQL shell. Who owns the database can
take it down; that is what the hash chain and the exported head are for. On SQLite nothing guards
DELETE, as Django's tests empty tables with it.
"""

from django.db import migrations

POSTGRESQL = (
    """
    CREATE FUNCTION byom_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'The audit trail is append-only.';
    END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON credentials_auditevent
    FOR EACH ROW EXECUTE FUNCTION byom_audit_append_only()
    """,
)
SQLITE = (
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE ON credentials_auditevent
    BEGIN SELECT RAISE(ABORT, 'The audit trail is append-only.'); END
    """,
)
UNDO = {
    "postgresql": (
        "DROP TRIGGER audit_append_only ON credentials_auditevent",
        "DROP FUNCTION byom_audit_append_only()",
    ),
    "sqlite": ("DROP TRIGGER audit_append_only",),
}


def put_up(apps, schema_editor):
    statements = {"postgresql": POSTGRESQL, "sqlite": SQLITE}
    for statement in statements.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement, params=None)


def take_down(apps, schema_editor):
    for statement in UNDO.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("credentials", "0003_access_token_made_by")]
    operations = [migrations.RunPython(put_up, take_down)]
