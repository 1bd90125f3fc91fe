"""Whose keys may pay: the server's, the user's and the session's policies, and staff's word.

The strictest wins: a key pays only where all of them allow it. `own_only` of the server and
`system_only` of a session leave nobody to pay, which is an error and never a third way.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from django.conf import settings
from django.db import connection

from agents.models import Policy
from usage.models import PaidBy

PAYERS: dict[str, frozenset[str]] = {
    Policy.OWN_ONLY: frozenset({PaidBy.USER}),
    Policy.OWN_THEN_SYSTEM: frozenset({PaidBy.USER, PaidBy.SYSTEM}),
    Policy.SYSTEM_ONLY: frozenset({PaidBy.SYSTEM}),
    "": frozenset({PaidBy.USER, PaidBy.SYSTEM}),  # no policy of one's own
}
# As SQL for the same reason as in credentials/lookup.py: it comes before every call.
_OF_USER = "SELECT policy, system_key_forbidden FROM agents_selectionpolicy WHERE user_id = %s"


def payers(user: Any, session_policy: str = "") -> frozenset[str]:
    """Who may pay for a call of this user: a set of PaidBy, empty where the policies disagree."""
    own, system_forbidden = _of_user(user)
    policies = (settings.FALLBACK_POLICY, own, session_policy)
    allowed = reduce(frozenset.__and__, (PAYERS[policy] for policy in policies))
    return allowed - {PaidBy.SYSTEM} if system_forbidden else allowed


def _of_user(user: Any) -> tuple[str, bool]:
    with connection.cursor() as cursor:
        cursor.execute(_OF_USER, [user.pk])
        policy, forbidden = cursor.fetchone() or ("", False)
    return policy, bool(forbidden)
