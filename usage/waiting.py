"""Ledger rows that the roll-ups don't count yet: pages add them, so that a call shows at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from usage.cells import Cell, Key
from usage.rollups import fold_ids, waiting

MOST = 5000  # rows that a page adds: about ten milliseconds' work


@dataclass(frozen=True, slots=True)
class Waiting:
    """What they add to an owner's days. Where more than MOST wait, as after an import, nothing is
    added and `too_many` is true: whoever shows figures says then that calls are missing."""

    cells: dict[Key, Cell] = field(default_factory=dict)
    too_many: bool = False


def waiting_of(owner: int) -> Waiting:
    """A user's, or EVERYONE's."""
    ids = waiting(MOST + 1)
    if ids.count > MOST:
        return Waiting(too_many=True)
    return Waiting({key: cell for key, cell in fold_ids(ids).items() if key[0] == owner})
