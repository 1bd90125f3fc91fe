"""What a client may ask of the gateway itself, by headers.

x-byom-credential   the id or the label of a credential of one's own: this one pays, or none
x-byom-fallback     models that take over, in order, where the call fails in a way that may pass
x-byom-retries      how often each of them is tried again, 0 to 3
x-byom-cache        no-store: neither take the answer from the cache nor keep it there
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agents.tries import RETRY_SECONDS
from credentials.errors import CredentialNotFound
from credentials.models import LLMCredential
from gateway.asked import MODEL
from gateway.errors import BadOption, PinnedElsewhere, SeveralCredentials
from gateway.selection import Guest

MOST_FALLBACKS = 5


@dataclass(frozen=True, slots=True)
class Options:
    credential: str = ""
    fallback: tuple[str, ...] = ()
    retries: int = 0
    stores: bool = True

    @property
    def tries_again(self) -> bool:
        return bool(self.fallback or self.retries)

    @property
    def is_plain(self) -> bool:
        """Whether the answer can only be this model's: then it may be kept, or come from there."""
        return self.stores and not self.tries_again


NONE = Options()


def read_options(headers: Mapping[str, str]) -> Options:
    """Raises BadOption."""
    credential = headers.get("x-byom-credential", "").strip()
    fallback = headers.get("x-byom-fallback", "")
    retries = headers.get("x-byom-retries", "")
    cache = headers.get("x-byom-cache", "")
    if not (credential or fallback or retries or cache):
        return NONE
    return Options(credential, _models(fallback), _retries(retries), _stores(cache))


def _models(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if len(names) > MOST_FALLBACKS or not all(map(MODEL.fullmatch, names)):
        flaw = f"name up to {MOST_FALLBACKS} models, with commas between them"
        raise BadOption(name="x-byom-fallback", flaw=flaw)
    return names


def _retries(value: str) -> int:
    most = len(RETRY_SECONDS)
    if value and not (value.isascii() and value.isdigit() and int(value) <= most):
        raise BadOption(name="x-byom-retries", flaw=f"a number from 0 to {most}")
    return int(value or 0)


def _stores(value: str) -> bool:
    if value not in ("", "no-store"):
        raise BadOption(name="x-byom-cache", flaw="no-store, or leave it out")
    return not value


def holding(guest: Guest, named: str) -> Guest:
    """The guest with that credential for this call, as if the token were pinned to it. Reads the
    database; raises CredentialNotFound, SeveralCredentials and PinnedElsewhere."""
    wanted = _id(guest, named)
    if guest.pinned_id not in (None, wanted):
        raise PinnedElsewhere
    return replace(guest, pinned_id=wanted)


def _id(guest: Guest, named: str) -> uuid.UUID:
    try:
        return uuid.UUID(named)  # whose it is, selection asks
    except ValueError:
        pass
    own = LLMCredential.objects.owned_by(guest.user).active().filter(label=named)
    found = list(own.values_list("pk", flat=True)[:2])
    if not found:
        raise CredentialNotFound
    if len(found) > 1:
        raise SeveralCredentials(label=named)
    return found[0]
