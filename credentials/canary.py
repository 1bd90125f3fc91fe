"""Canaries: a known text, sealed under each encryption key that ever sealed here.

A key that has the right name and the wrong bytes (a typing error, another environment's ring)
fails to open its canary, and the server does not start, before it seals a person's key with it.
"""

from __future__ import annotations

from django.db import DatabaseError, OperationalError, connection, connections

from credentials.models import VaultCanary
from credentials.vault import BadKeyRing, KeyRing, Unreadable, ring

TEXT = "The canary sings."


def broken_canaries() -> list[str]:
    """Ids of keys on the ring that don't open their canary. A key without one has sealed
    nothing yet. Raises BadKeyRing."""
    in_force = ring()
    rows = VaultCanary.objects.filter(kid__in=in_force.keys)
    return sorted(row.kid for row in rows if not _sings(in_force, row))


def ensure_canaries() -> None:
    """Makes the current key's canary where there is none. Raises BadKeyRing naming the keys that
    don't open theirs."""
    in_force = ring()
    token = in_force.seal(TEXT, _binding(in_force.current))
    VaultCanary.objects.get_or_create(kid=in_force.current, defaults={"token": token})
    if broken := broken_canaries():
        raise BadKeyRing(describe(broken))


def describe(kids: list[str]) -> str:
    which = ", ".join(kids)
    return (
        f"Key {which} of the key ring is not the key that this database knows by that name: its "
        "canary does not open. Put the right key back on BYOM_ENCRYPTION_KEYS; a new key needs "
        "a name that was never used."
    )


def reason_not_to_start() -> str | None:
    """A sentence for whoever starts the server; None if the vault is in order.

    For a thread of its own: it closes the thread's database connections.
    """
    try:
        ensure_canaries()
    except BadKeyRing as error:
        return str(error)
    except DatabaseError as error:
        return _about_the_database(error)
    finally:
        connections.close_all()
    return None


def is_migrated() -> bool:
    return VaultCanary._meta.db_table in connection.introspection.table_names()


def _about_the_database(error: DatabaseError) -> str:
    try:
        migrated = is_migrated()
    except OperationalError:
        return f"The database does not answer ({type(error).__name__}). See DATABASE_URL."
    if not migrated:
        return "The database lacks tables. Run: manage.py migrate"
    return f"The vault's canaries can't be read or written ({type(error).__name__})."


def _binding(kid: str) -> tuple[str, str]:
    return ("credentials.VaultCanary.token", kid)


def _sings(in_force: KeyRing, canary: VaultCanary) -> bool:
    try:
        return in_force.open(canary.token, _binding(canary.kid)) == TEXT
    except Unreadable:
        return False
