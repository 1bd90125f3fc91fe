"""Checks the audit trail's chain, and writes its head down to be kept elsewhere.

The chain alone shows that events were edited, removed or moved by somebody who did not recompute
everything after them. A head that was exported earlier, to where that person can't write, shows
the rest.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from django.db.models import Max
from django.utils import timezone

from credentials.audit import CHAINED_FIELDS, NO_DIGEST, AuditEvent, AuditHead

BATCH = 1000
MOST_FLAWS = 20  # after so many there is nothing more to learn


class UnreadableHead(ValueError):
    """This is no head that `export_audit` wrote."""

    def __init__(self) -> None:
        super().__init__(type(self).__doc__)


@dataclass(frozen=True, slots=True)
class Head:
    """The last link at some time, as it is exported. `time` is ISO 8601, in UTC."""

    position: int
    digest: str
    count: int
    time: str

    @classmethod
    def read(cls, path: Path) -> Head:
        """Raises OSError and UnreadableHead."""
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(facts["position"]), facts["digest"], int(facts["count"]), facts["time"])
        except (ValueError, KeyError, TypeError):
            raise UnreadableHead from None


@dataclass(frozen=True, slots=True)
class Flaw:
    position: int
    what: str

    def __str__(self) -> str:
        return f"Event {self.position:,} {self.what}"


@dataclass(slots=True)
class Verdict:
    """What a walk along the chain has found: how many events, and what is wrong with them."""

    checked: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    position: int = 0
    digest: str = NO_DIGEST

    @property
    def is_whole(self) -> bool:
        return not self.flaws


def verify(exported: Head | None = None) -> Verdict:
    """Walks all events, the oldest first, in batches. Events that are added meanwhile are left
    to the next time."""
    # In this order: whatever is added between the two moves the head on, never back.
    newest = AuditEvent.objects.aggregate(newest=Max("position"))["newest"] or 0
    head = AuditHead.current()
    verdict = Verdict()
    rows = AuditEvent.objects.filter(position__lte=max(newest, head.position))
    for event in rows.order_by("position").iterator(chunk_size=BATCH):
        verdict.flaws += _flaws_of(event, verdict, exported)
        verdict.checked += 1
        verdict.position, verdict.digest = event.position, event.digest
        if len(verdict.flaws) >= MOST_FLAWS:
            return verdict
    verdict.flaws += _flaws_of_the_end(verdict, head, exported)
    return verdict


def _flaws_of(event: AuditEvent, before: Verdict, exported: Head | None) -> Iterator[Flaw]:
    expected = before.position + 1
    if event.position != expected:
        yield Flaw(expected, f"is missing: the next one there is {event.position:,}.")
    elif event.previous != before.digest:
        what = "does not follow on the one before it"
        yield Flaw(event.position, f"{what}: one of the two was edited, replaced or moved.")
    if event.compute_digest() != event.digest:
        yield Flaw(event.position, "was edited: its digest does not fit its contents.")
    if exported and exported.position == event.position and exported.digest != event.digest:
        what = f"is another one than on {exported.time}, when the head was exported"
        yield Flaw(event.position, f"{what}: the chain up to here was rewritten.")


def _flaws_of_the_end(walked: Verdict, head: AuditHead, exported: Head | None) -> Iterator[Flaw]:
    if walked.position < head.position:
        what = f"is the last by the head of the chain, but the trail ends at {walked.position:,}"
        yield Flaw(head.position, f"{what}: its end was cut off.")
    elif (walked.position, walked.digest) != (head.position, head.digest):
        what = f"is the last, but the head of the chain is at {head.position:,}"
        yield Flaw(walked.position, f"{what} and does not fit it.")
    if exported and exported.position > walked.position:
        what = f"was the last on {exported.time}, but the trail ends at {walked.position:,}"
        yield Flaw(exported.position, f"{what}: its end was cut off.")


def export_head(path: Path) -> Head:
    """Writes the head as it stands. Raises OSError."""
    row = AuditHead.current()
    count = AuditEvent.objects.filter(position__lte=row.position).count()
    head = Head(row.position, row.digest, count, timezone.now().isoformat(timespec="seconds"))
    with _private_file(path) as file:
        json.dump(asdict(head), file, indent=2)
        file.write("\n")
    return head


def export_events(path: Path, head: Head) -> None:
    """Writes the events up to `head`, one JSON object a line. Raises OSError."""
    rows = AuditEvent.objects.filter(position__lte=head.position).order_by("position")
    with _private_file(path) as file:
        for event in rows.iterator(chunk_size=BATCH):
            facts = {name: getattr(event, name) for name in (*CHAINED_FIELDS, "digest")}
            file.write(json.dumps({**facts, "at": event.at.isoformat()}) + "\n")


@contextmanager
def _private_file(path: Path) -> Iterator[IO[str]]:
    """A new file of mode 0600, in place of `path` once it is whole and on disk."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
