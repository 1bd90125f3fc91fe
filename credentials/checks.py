"""System checks of the vault. Those that read the database run with `check --database default`
and before `migrate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection
from django.db.models import Count

from credentials.canary import broken_canaries, describe, is_migrated
from credentials.fields import SealedQuerySet
from credentials.rotation import sealed_rows
from credentials.vault import BadKeyRing, KeyRing, ring


@register(Tags.security)
def the_ring_is_usable(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        ring()
    except BadKeyRing as error:
        return [Error(str(error), id="credentials.E001")]
    return []


@register(Tags.database)
def sealed_rows_open(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Silent where the ring is unusable, which is E001, or nothing is migrated yet."""
    if "default" not in (databases or ()) or not is_migrated():
        return []
    try:
        in_force = ring()
    except BadKeyRing:
        return []
    return [*_canaries(), *_missing_keys(in_force), *_old_keys(in_force)]


def _canaries() -> list[CheckMessage]:
    broken = broken_canaries()
    return [Error(describe(broken), id="credentials.E002")] if broken else []


def _missing_keys(in_force: KeyRing) -> list[CheckMessage]:
    """An empty key id is a Fernet token of an import: FERNET_KEYS may open that."""
    counts: Counter[str] = Counter()
    for rows in _stored():
        lost = rows.sealed().exclude(key_kid__in=["", *in_force.keys])
        counts.update(dict(lost.order_by().values_list("key_kid").annotate(Count("pk"))))
    return [
        Warning(
            f"{count} provider keys or tokens are sealed under {kid}, which is not on the key "
            "ring: nobody can use them.",
            hint=f"Put {kid} back on BYOM_ENCRYPTION_KEYS, and run rotate_keys before it goes.",
            id="credentials.W001",
        )
        for kid, count in sorted(counts.items())
    ]


def _old_keys(in_force: KeyRing) -> list[CheckMessage]:
    count = sum(rows.not_on_key(in_force.current).count() for rows in _stored())
    if not count:
        return []
    return [
        Warning(
            f"{count} provider keys or tokens are not sealed under the current key "
            f"{in_force.current}.",
            hint="Run: manage.py rotate_keys",
            id="credentials.W002",
        )
    ]


def _stored() -> Iterator[SealedQuerySet[Any]]:
    """All sealed rows, but for models whose columns are yet to come: `migrate` runs these checks
    before it makes them."""
    describe_table = connection.introspection.get_table_description
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for rows in sealed_rows():
            meta = rows.model._meta
            if meta.db_table not in tables:
                continue
            columns = {column.name for column in describe_table(cursor, meta.db_table)}
            if {"key_kid", rows.model.sealed_field} <= columns:
                yield rows
