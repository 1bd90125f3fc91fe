"""Sealing every stored key anew under the ring's current encryption key, of whatever model.

The state of a rotation is in the rows themselves, so a killed one goes on where it stopped, and
two at once do no harm. People may add, replace and use keys meanwhile: a token is only swapped
for the very token that was opened.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import Count

from credentials.canary import ensure_canaries
from credentials.fields import SealedModel, SealedQuerySet, SealedTextField
from credentials.trail import Action, record
from credentials.vault import Unreadable, ring

BATCH = 100
# Rows that somebody else holds are left to a later pass; the waits before those, in seconds.
WAITS = (0.0, 0.1, 0.5, 2.0, 5.0)

Progress = Callable[[int], None]


@dataclass(slots=True)
class Report:
    """`unreadable`: why, by row. `busy`: rows that were never free for us."""

    sealed: int = 0
    unreadable: dict[uuid.UUID, str] = field(default_factory=dict)
    busy: int = 0

    @property
    def is_complete(self) -> bool:
        return not self.unreadable and not self.busy


def sealed_rows() -> Iterator[SealedQuerySet[Any]]:
    """All rows of every model that holds something sealed, in whatever app."""
    for model in apps.get_models():
        if issubclass(model, SealedModel):
            rows: SealedQuerySet[Any] = model._default_manager.all()  # type: ignore[assignment]
            yield rows


def pending() -> Iterator[SealedQuerySet[Any]]:
    """Of each model, all rows that are not on the current key, inactive ones too."""
    return (rows.not_on_key(ring().current) for rows in sealed_rows())


def pending_by_key() -> dict[str, int]:
    """How many rows are pending, by the encryption key that they are on."""
    found: Counter[str] = Counter()
    for rows in pending():
        found.update(dict(rows.order_by().values_list("key_kid").annotate(Count("pk"))))
    return dict(sorted(found.items()))


def rotate(*, batch: int = BATCH, progress: Progress = lambda rows: None) -> Report:
    """Seals all pending rows under the current key; one short transaction for each batch.

    A row that can't be opened stays as it is and is reported. Raises BadKeyRing before the first
    row if the current key is not the one it was.
    """
    ensure_canaries()
    report = Report()
    for wait in WAITS:
        time.sleep(wait)
        report.unreadable.clear()
        left: set[uuid.UUID] = set()
        for rows in pending():
            _one_pass(rows, report, batch, progress)
            left.update(rows.values_list("pk", flat=True))
        left -= report.unreadable.keys()
        report.busy = len(left)
        if not left:
            break
    return report


def rehearse(*, batch: int = BATCH, progress: Progress = lambda rows: None) -> Report:
    """What `rotate` would do: opens all pending rows and writes nothing."""
    report = Report()
    for rows in pending():
        for row in rows.order_by("pk").iterator(chunk_size=batch):
            if _open(row, report) is not None:
                report.sealed += 1
            progress(1)
    return report


def _one_pass(rows: SealedQuerySet[Any], report: Report, batch: int, progress: Progress) -> None:
    after = uuid.UUID(int=0)
    while found := _one_batch(rows, after, batch, report):
        after = found[-1].pk
        progress(len(found))


@transaction.atomic
def _one_batch(rows: SealedQuerySet[Any], after: uuid.UUID, size: int, report: Report) -> list[Any]:
    """On PostgreSQL the rows are locked, and locked rows of others passed over: what never
    waits can't be part of a deadlock."""
    next_ones = rows.filter(pk__gt=after).order_by("pk")
    found = list(next_ones.select_for_update(skip_locked=True, no_key=True)[:size])
    sealed = [row for row in found if _seal_anew(row, report)]
    for row in sealed:  # last, as the trail asks for
        change = f"from {row.key_kid or 'Fernet'} to {ring().current}"
        record(Action.RESEAL, row, detail=change)
    report.sealed += len(sealed)
    return found


def _seal_anew(row: Any, report: Report) -> bool:
    plaintext = _open(row, report)
    return plaintext is not None and _swap(row, plaintext)


def _open(row: Any, report: Report) -> str | None:
    try:
        return str(row.secret.reveal("rotate"))
    except Unreadable as error:
        report.unreadable[row.pk] = f"{type(error).__name__}. {error}"
        return None


def _swap(row: Any, plaintext: str) -> bool:
    sealed = row._meta.get_field(row.sealed_field)
    assert isinstance(sealed, SealedTextField)
    rows: SealedQuerySet[Any] = type(row)._default_manager.all()
    return rows.swap_token(
        row.sealed_field,
        pk=row.pk,
        old=str(row.secret.token),
        new=str(sealed.seal(plaintext, row)),
        **row.derived_from(plaintext),
    )
