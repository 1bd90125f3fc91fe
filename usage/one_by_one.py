"""Ledger rows that could not be written together: each gets a try of its own, as one that is wrong
must not take the others with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import IntegrityError, connections

from usage.ledger import Closed
from usage.models import Budget, UsageRecord
from usage.posting import write, write_patiently

logger = logging.getLogger(__name__)


def written(entries: Sequence[Closed]) -> list[UsageRecord | Exception]:
    """The row of each, or what went wrong with it: whoever waits is told, and nobody waits on."""
    try:
        return [*write_patiently(entries)]
    except Exception:
        connections.close_all()
        return [_alone(entry) for entry in entries]


def _alone(entry: Closed) -> UsageRecord | Exception:
    try:
        return write([entry])[0]
    except IntegrityError:
        return _what_can_be_written(entry)
    except Exception as error:
        return _lost(error)


def _what_can_be_written(entry: Closed) -> UsageRecord | Exception:
    """It may be there already, when the connection broke after the commit: who wrote it may not
    have charged it any more, so its budgets are counted anew. Or the user, token or key may have
    been deleted during the call: then the row names them no more, as those of earlier calls
    don't."""
    try:
        if there := UsageRecord.objects.filter(pk=entry.call.id).first():
            Budget.objects.over(**entry.call.parties._asdict()).count_anew()
            return there
        entry.call.forget_the_deleted()
        entry.made = None
        return write([entry])[0]
    except Exception as error:
        return _lost(error)


def _lost(error: Exception) -> Exception:
    connections.close_all()
    logger.error("A ledger row could not be written: %s", type(error).__name__)
    return error
