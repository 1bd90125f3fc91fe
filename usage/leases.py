"""Room in budgets that this process has set aside for calls to come.

To set aside the most of each call by itself takes a transaction per call, on a row that all calls
of a person share. So where there is plenty of room a process takes some of it at once, as one
`Reservation`, and divides it among its calls in memory. Nothing is promised twice: what a process
has taken is set aside in the database, and what it no longer needs it gives back after some
seconds. When anything was changed (a limit, say), a lease is renewed before it is used again. Where
room is scarce each call goes to the database, and the last dollar is counted out
exactly (`usage.budgets`).

What calls out of a lease have cost is charged with their ledger rows or soon after
(`usage.charges`), and in any case when it is renewed. Until then the lease stays as large as it
was: meanwhile a budget has a little less room than it might.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from usage import charges
from usage.budget_models import Budget, Reservation
from usage.budgets import COUNTERS, Intent, NoPrice, locked
from usage.memory import Changes

SHARE = 16  # a lease takes no more than this part of the room that is left
FEWEST, MOST = 4, 1024  # calls of the kind that asked for it, that a lease has room for
IDLE_SECONDS = 5.0
_AGAIN_SECONDS = 1.0  # until the database is asked anew that had no room to give
RENEW_SECONDS = 300.0


@dataclass(slots=True)
class Lease:
    """`units` are set aside in the database; `out` of them are promised to calls under way and
    `used` were, by calls that are over."""

    budget_id: uuid.UUID
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    units: int = 0
    out: int = 0
    used: int = 0
    frozen: bool = False
    changes: int = -1  # `Changes.count` when it was last renewed: its budget may have changed since
    taken_at: float = 0.0
    renewed_at: float = -RENEW_SECONDS
    renewing: threading.Lock = field(default_factory=threading.Lock)


Held = tuple[int, int]
"""A budget, by its id as a number, and what a call has been promised of its lease."""

_lock = threading.Lock()
_leases: dict[int, Lease] = {}  # by numbers, as Python hashes a UUID by calling two functions


def take(wanted: Sequence[Held]) -> bool:
    """Takes that much out of the leases on those budgets; False, and nothing, if one of them has
    no room for it, or there is none."""
    leases = []
    with _lock:
        for key, units in wanted:
            lease = _leases.get(key)
            if lease is None or lease.frozen or lease.changes != Changes.count:
                return False
            if lease.units - lease.out - lease.used < units:
                return False
            leases.append((lease, units))
        now = time.monotonic()
        for lease, units in leases:
            lease.out += units
            lease.taken_at = now
    return True


def _units(intent: Intent, budget: Budget) -> int:
    if budget.refuses(intent.cost):
        raise NoPrice(budget)
    return intent.units(budget)


def give_back(held: Iterable[Held], used: bool = True) -> None:
    """The call is over; if `used`, its ledger row is there, and is charged or waits for that."""
    with _lock:
        for pk, units in held:
            if lease := _leases.get(pk):
                lease.out -= units
                lease.used += units if used else 0


def extend(intent: Intent, budgets: Iterable[Budget]) -> None:
    """Makes room in the leases on `budgets` for this call and others of its kind, as far as there
    is plenty. Uses the database. Raises NoPrice."""
    for budget in budgets:
        units = _units(intent, budget)
        with _lock:
            lease = _leases.setdefault(budget.id.int, Lease(budget.id, taken_at=time.monotonic()))
        with lease.renewing:
            if not (_has_room(lease, units) or _found_none(lease)):
                _renew(lease, units)


def tidy() -> bool:
    """Gives back what nobody has asked for in the last seconds, and renews what is old. Whether
    anything is left to look after. Uses the database."""
    for lease in list(_leases.values()):
        if _is_idle(lease) or (lease.units and _is_old(lease)):
            with lease.renewing:
                _renew(lease, 0)
    with _lock:
        for pk in [pk for pk, one in _leases.items() if not one.units and _is_idle(one)]:
            del _leases[pk]
        return bool(_leases)


def give_all_back() -> None:
    """For the end of the process. What calls under way hold stays set aside, until `reclaim`."""
    for lease in list(_leases.values()):
        with lease.renewing:
            _renew(lease, 0)
    forget_all()


def are_held() -> bool:
    return bool(_leases)


def forget_all() -> None:
    """What is set aside stays so, until `reclaim`."""
    with _lock:
        _leases.clear()
    charges.forget_all()


def _has_room(lease: Lease, units: int) -> bool:
    with _lock:
        has_room = lease.units - lease.out - lease.used >= units
        return has_room and lease.changes == Changes.count and not _is_old(lease)


def _found_none(lease: Lease) -> bool:
    """Whether the database had no room to give just now."""
    is_fresh = time.monotonic() - lease.renewed_at < _AGAIN_SECONDS
    return not lease.units and is_fresh and lease.changes == Changes.count


def _is_idle(lease: Lease) -> bool:
    return not lease.out and time.monotonic() - lease.taken_at > IDLE_SECONDS


def _is_old(lease: Lease) -> bool:
    """Long before the reservation would be taken for one of a process that has died."""
    limit = min(RENEW_SECONDS, settings.RESERVATION_SECONDS / 4)
    return time.monotonic() - lease.renewed_at > limit


def _renew(lease: Lease, units: int) -> None:
    """Sets aside what calls under way hold and room for more of `units` each, if there is plenty.

    While the database is asked nothing is taken out of the lease; what comes back is counted.
    """
    with _lock:
        lease.frozen = True
        out, used, changes = lease.out, lease.used, Changes.count
    try:
        size = _set_aside(lease.budget_id, lease.id, out, units)
        with _lock:
            lease.units, lease.changes = size, changes
            lease.used -= used
            lease.renewed_at = time.monotonic()
    except BaseException:
        with _lock:
            lease.changes = -1  # who knows what is set aside now: not to be used before the next
        raise
    finally:
        with _lock:
            lease.frozen = False


def _set_aside(pk: uuid.UUID, lease_id: uuid.UUID, out: int, units: int) -> int:
    """The new size of a lease, as it is in the database now; 0 if it is gone. What its calls have
    cost is charged first."""
    now = timezone.now()
    with charges.owed_to(pk) as owed, transaction.atomic():
        budget = locked(pk, now)
        rows = Reservation.objects.filter(call_id=lease_id, budget_id=pk)
        if budget is None:
            return 0
        before = rows.values_list("units", flat=True).first()
        others = budget.reserved_units - (before or 0)
        charges.add_owed(budget, owed, now)
        size = out + _chunk(budget.limit_units - budget.spent_units - others - out, units)
        budget.reserved_units = others + size
        budget.save(update_fields=COUNTERS)
        # Nobody else has this lease, and each step would be a trip to the database.
        kept = {
            "units": size,
            "expires_at": now + timedelta(seconds=settings.RESERVATION_SECONDS),
        }
        if before is None and size:
            Reservation.objects.create(call_id=lease_id, budget_id=pk, **kept)
        elif size:
            rows.update(**kept)
        elif before is not None:
            rows.delete()
    return size


def _chunk(room: int, units: int) -> int:
    """How much of the room to take for calls of `units` each; nothing where it is scarce."""
    chunk = min(room // SHARE, MOST * units)
    return chunk if units and chunk >= FEWEST * units else 0
