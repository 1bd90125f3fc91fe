"""Ledger rows that the roll-ups don't count yet: pages add them, so that a call shows at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from usage.cells import Cell, Key
from usage.daily import PendingRollup
from usage.rollups import fold_ids

MOST = 5000  # rows that a page adds: about ten milliseconds' work


@dataclass(frozen=True, slots=True)
class Waiting:
    """What they add to an owner's days. Where more than MOST wait, as after an import, nothing is
    added and `too_many` is true: whoever shows figures says then that calls are missing."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    too_many: bool = False


def waiting_of(owner: int) -> Waiting:
    """A user's, or EVERYONE's."""
    ids = list(PendingRollup.objects.values_list("pk", flat=True)[: MOST + 1])
    if len(ids) > MOST:
        return Waiting(too_many=True)
    return Waiting({key: cell for key, cell in fold_ids(ids).items() if key[0] == owner})
