"""Pages of the ledger by key: page 100 costs what page 1 costs, and new rows shift nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q

from usage.models import UsageQuerySet, UsageRecord


class BadCursor(ValueError):
    """This is no cursor of ours. Begin again without one."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the ledger: the rows older (or newer) than this one."""

    moment: datetime
    pk: uuid.UUID
    newer: bool = False

    def __str__(self) -> str:
        moment = self.moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return f"{'n' if self.newer else 'o'}{moment}-{self.pk.hex}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises BadCursor."""
        try:
            moment, key = text[1:].split("-")
            at = datetime.strptime(moment, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
            return cls(at, uuid.UUID(hex=key), newer={"n": True, "o": False}[text[0]])
        except (ValueError, IndexError, KeyError):
            raise BadCursor from None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, the latest first, and cursors to those around them."""

    rows: list[UsageRecord]
    older: Cursor | None
    newer: Cursor | None


def page_of(
    rows: UsageQuerySet, cursor: Cursor | None, size: int, *, read: UsageQuerySet | None = None
) -> Page:
    """`rows` says which ones, `read` what is read of each (all of its fields)."""
    read = UsageRecord.objects.all() if read is None else read
    if cursor is None or not cursor.newer:
        found = _first(after(rows, cursor), read, size + 1, "-created_at", "-id")
        more, found = len(found) > size, found[:size]
        return Page(found, _at(found, -1) if more else None, _newer(found) if cursor else None)
    found = _first(after(rows, cursor), read, size + 1, "created_at", "id")
    more, found = len(found) > size, found[:size][::-1]
    return Page(found, _at(found, -1), _newer(found) if more else None)


def _first(rows: UsageQuerySet, read: UsageQuerySet, most: int, *order: str) -> list[UsageRecord]:
    """Which rows they are is asked by itself: an index has all that it takes, so that only rows of
    the page are read, whatever they are filtered by. And they are read by nothing but their key:
    SQLite, which has no statistics, would else go through all rows of the user."""
    keys = rows.order_by(*order).values("pk")[:most]
    return list(read.filter(pk__in=keys).order_by(*order))


def after(rows: UsageQuerySet, cursor: Cursor | None) -> UsageQuerySet:
    """The rows on the cursor's side. The bound on the time alone is what an index can use."""
    if cursor is None:
        return rows
    side = "gt" if cursor.newer else "lt"
    beyond = Q(**{f"created_at__{side}": cursor.moment})
    beside = Q(created_at=cursor.moment, **{f"id__{side}": cursor.pk})
    return rows.filter(beyond | beside, **{f"created_at__{side}e": cursor.moment})


def _at(rows: list[UsageRecord], place: int) -> Cursor | None:
    return Cursor(rows[place].created_at, rows[place].pk) if rows else None


def _newer(rows: list[UsageRecord]) -> Cursor | None:
    return Cursor(rows[0].created_at, rows[0].pk, newer=True) if rows else None
