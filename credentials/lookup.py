"""The two reads that come before every provider call, as SQL.

Building the same statements with the ORM took four times as long as all of this: of 1.9 ms for
a selection, 1.4 ms were spent on composing SQL (`manage.py bench_selection`). A test holds these
to what the QuerySet methods say.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection
from django.utils import timezone

from credentials.models import LLMCredential

_OWN = "SELECT * FROM credentials_llmcredential WHERE id = %(pk)s AND owner_id = %(owner)s"
_USABLE = """
    SELECT * FROM credentials_llmcredential
    WHERE owner_id = %(owner)s AND is_active AND quarantined_at IS NULL
        AND (expires_at IS NULL OR expires_at > %(now)s) AND {condition}
    ORDER BY is_default DESC, created_at
    LIMIT 1
"""
_DEFAULT = _USABLE.format(condition="is_default")
_OF_PROVIDER = _USABLE.format(condition="provider = %(provider)s")


def own_credential(owner: Any, pk: uuid.UUID | str) -> LLMCredential | None:
    """The owner's row of that id, usable or not. Raises ValidationError for what is no UUID."""
    key = LLMCredential._meta.pk.get_db_prep_value(pk, connection)
    return _first(_OWN, pk=key, owner=owner.pk)


def default_credential(owner: Any, provider: str = "") -> LLMCredential | None:
    """The owner's usable default; for a provider, the default if it is of that one, else the
    oldest usable one."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    sql = _OF_PROVIDER if provider else _DEFAULT
    return _first(sql, owner=owner.pk, now=now, provider=provider)


def _first(sql: str, **parameters: Any) -> LLMCredential | None:
    return next(iter(LLMCredential.objects.raw(sql, parameters)), None)
