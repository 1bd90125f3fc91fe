"""Sealing every stored key anew under the ring's current encryption key.

The state of a rotation is in the rows themselves, so a killed one goes on where it stopped, and
two at once do no harm. People may add, replace and use keys meanwhile: a token is only swapped
for the very token that was opened.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import transaction

from credentials.canary import ensure_canaries
from credentials.fields import SealedTextField
from credentials.models import CredentialQuerySet, LLMCredential
from credentials.trail import Action, record
from credentials.vault import Unreadable, ring

BATCH = 100
COLUMNS = ("owner_id", "api_key", "key_kid", "provider", "last4")
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


def pending() -> CredentialQuerySet:
    """All rows that are not on the current key, inactive ones too."""
    return LLMCredential.objects.not_on_key(ring().current)


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
        _one_pass(report, batch, progress)
        left = set(pending().values_list("pk", flat=True)) - report.unreadable.keys()
        report.busy = len(left)
        if not left:
            break
    return report


def rehearse(*, batch: int = BATCH, progress: Progress = lambda rows: None) -> Report:
    """What `rotate` would do: opens all pending rows and writes nothing."""
    report = Report()
    rows = pending().only(*COLUMNS).order_by("pk")
    for row in rows.iterator(chunk_size=batch):
        if _open(row, report) is not None:
            report.sealed += 1
        progress(1)
    return report


def _one_pass(report: Report, batch: int, progress: Progress) -> None:
    after = uuid.UUID(int=0)
    while rows := _one_batch(after, batch, report):
        after = rows[-1].pk
        progress(len(rows))


@transaction.atomic
def _one_batch(after: uuid.UUID, size: int, report: Report) -> list[LLMCredential]:
    """On PostgreSQL the rows are locked, and locked rows of others passed over: what never
    waits can't be part of a deadlock."""
    rows = pending().filter(pk__gt=after).only(*COLUMNS).order_by("pk")
    found = list(rows.select_for_update(skip_locked=True, no_key=True)[:size])
    sealed = [row for row in found if _seal_anew(row, report)]
    for row in sealed:  # last, as the trail asks for
        change = f"from {row.key_kid or 'Fernet'} to {ring().current}"
        record(Action.RESEAL, row, detail=change)
    report.sealed += len(sealed)
    return found


def _seal_anew(row: LLMCredential, report: Report) -> bool:
    plaintext = _open(row, report)
    return plaintext is not None and _swap(row, plaintext)


def _open(row: LLMCredential, report: Report) -> str | None:
    try:
        return row.api_key.reveal("rotate")
    except Unreadable as error:
        report.unreadable[row.pk] = f"{type(error).__name__}. {error}"
        return None


def _swap(row: LLMCredential, plaintext: str) -> bool:
    sealed = LLMCredential._meta.get_field("api_key")
    assert isinstance(sealed, SealedTextField)
    return LLMCredential.objects.swap_token(
        "api_key",
        pk=row.pk,
        old=str(row.api_key.token),
        new=str(sealed.seal(plaintext, row)),
        key_kid=ring().current,
        fingerprint=ring().fingerprint(plaintext),
    )
