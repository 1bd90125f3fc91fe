"""The vault: a ring of encryption keys, and sealing with AES-256-GCM.

A token is `byom1:<kid>:<base64(nonce + ciphertext)>`. What it is bound to (its row and
owner) goes in as associated data, so a token copied to another row does not open. Where the
ring comes from is the business of `credentials.keyrings`.

    VaultError(ValueError)
    ├── BadKeyRing      the ring itself can't be used: nothing starts
    └── Unreadable      this one token can't be opened; `status` and `code` as API errors have
        ├── MissingKey  the token's key is not on the ring
        └── Tampered    the token was changed, or moved to another row or owner
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

VERSION = "byom1"
KEY_BYTES = 32
NONCE_BYTES = 12
# What a sealed key may be opened for. A new word here is a new reader of keys: think twice.
PURPOSES = frozenset({"call", "gateway", "validate", "rotate", "seal", "test", "tool"})


class VaultError(ValueError):
    """The vault can't do this."""


class BadKeyRing(VaultError, ImproperlyConfigured):
    """The ring of encryption keys can't be used."""


class Unreadable(VaultError):
    """The stored key can't be opened."""

    status = 409
    code = "unreadable_key"

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


class MissingKey(Unreadable):
    """The encryption key that this provider key was sealed with is not on the ring. The operator
    can put it back on BYOM_ENCRYPTION_KEYS; saving the provider key again works too."""


class Tampered(Unreadable):
    """The sealed key does not belong to this row and owner, or was changed. Restore it from a
    backup, or save the provider key again."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id; `current` seals, all of them open."""

    keys: Mapping[str, bytes] = field(repr=False)
    current: str

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """From `"k2:<base64>,k1:<base64>"`, commas or new lines between; the first seals.

        Raises BadKeyRing, which never shows a key.
        """
        rows = [row.strip() for row in text.replace("\n", ",").split(",") if row.strip()]
        keys = dict(map(_parse_row, rows))
        if not rows:
            raise BadKeyRing("BYOM_ENCRYPTION_KEYS is empty.")
        if len(keys) < len(rows):
            raise BadKeyRing("BYOM_ENCRYPTION_KEYS holds the same key id twice.")
        return cls.of(keys, current=next(iter(keys)))

    @classmethod
    def of(cls, keys: Mapping[str, bytes], current: str) -> KeyRing:
        """Checks what a provider of rings gave. Raises BadKeyRing, which never shows a key."""
        for kid, key in keys.items():
            if not _is_kid(kid):
                raise BadKeyRing("A key id on the key ring is not 1 to 16 letters or digits.")
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                raise BadKeyRing(f"Key {kid} of the key ring does not have {KEY_BYTES} bytes.")
        if current not in keys:
            raise BadKeyRing("The key that seals is not on the key ring.")
        return cls(keys=dict(keys), current=current)

    def seal(self, plaintext: str, binding: Iterable[str]) -> str:
        """A token that only opens with the same binding. Every call gives another token."""
        nonce = os.urandom(NONCE_BYTES)
        data = _associated_data(self.current, binding)
        sealed = _cipher(self.keys[self.current]).encrypt(nonce, plaintext.encode(), data)
        return f"{VERSION}:{self.current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, token: str, binding: Iterable[str]) -> str:
        """What was sealed. Raises MissingKey or Tampered."""
        return self.opener(token, binding)()

    def opener(self, token: str, binding: Iterable[str]) -> Callable[[], str]:
        """`open`, prepared for being done often: it holds nothing that is secret. It raises
        Tampered, and this MissingKey or Tampered."""
        version, kid, payload = (token.split(":", 2) + ["", ""])[:3]
        if version != VERSION or not kid:
            raise Tampered
        if kid not in self.keys:
            raise MissingKey
        try:
            raw = binascii.a2b_base64(payload, strict_mode=True)
        except ValueError:
            raise Tampered from None
        nonce, sealed = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
        data = _associated_data(kid, binding)
        decrypt = _cipher(self.keys[kid]).decrypt

        def opened() -> str:
            try:
                return decrypt(nonce, sealed, data).decode()
            except (InvalidTag, ValueError):
                raise Tampered from None

        return opened

    def fingerprint(self, plaintext: str, kid: str | None = None) -> str:
        """12 hex digits that tell equal keys apart from different ones, under key `kid`."""
        key = _fingerprint_key(self.keys[kid or self.current])
        return hmac.new(key, plaintext.encode(), hashlib.sha256).hexdigest()[:12]


def new_key(kid: str = "k1") -> str:
    """One row for BYOM_ENCRYPTION_KEYS, with 32 random bytes. Raises BadKeyRing for a bad id."""
    if not _is_kid(kid):
        raise BadKeyRing("A key id is 1 to 16 letters or digits.")
    return f"{kid}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


class Reveals:
    """How often this process opened a key, by purpose. Safe in threads. `listeners` are told of
    each; they must not raise. (A signal would cost a call of the gateway more than the opening.)"""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.listeners: list[Callable[[str], object]] = []

    def count(self, purpose: str) -> None:
        with self._lock:
            self._counts[purpose] += 1
        for tell in self.listeners:
            tell(purpose)

    def snapshot(self) -> dict[str, int]:
        """Every purpose with its count since the start of the process."""
        with self._lock:
            return {purpose: self._counts[purpose] for purpose in sorted(PURPOSES)}


reveals = Reveals()


@cache
def ring() -> KeyRing:
    """The ring in force, loaded once. Raises BadKeyRing."""
    return _ring(settings.KEY_RING, settings.ENCRYPTION_KEYS)


@receiver(setting_changed)
def _look_again(**kwargs: Any) -> None:
    ring.cache_clear()


@cache
def _ring(provider: str, text: str) -> KeyRing:
    """`text` only tells one ring of the environment from another. A failure is not remembered:
    a provider that could not be reached is asked again."""
    try:
        found = import_string(provider)
        load = found().load if isinstance(found, type) else found
        keys, current = load()
    except VaultError:
        raise
    except Exception as error:
        # Whatever a provider raises may hold key material: its class has to be enough.
        raise BadKeyRing(
            f"BYOM_KEY_RING: {provider} gave no key ring ({type(error).__name__})."
        ) from None
    return KeyRing.of(keys, current)


def _is_kid(text: object) -> bool:
    return isinstance(text, str) and text.isalnum() and text.isascii() and len(text) <= 16


def _parse_row(row: str) -> tuple[str, bytes]:
    kid, _, encoded = row.partition(":")
    if not _is_kid(kid):
        raise BadKeyRing("BYOM_ENCRYPTION_KEYS: a key id is 1 to 16 letters or digits, then ':'.")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKeyRing(f"BYOM_ENCRYPTION_KEYS: key {kid} is not base64 of {KEY_BYTES} bytes.")
    return kid, key


def _associated_data(kid: str, binding: Iterable[str]) -> bytes:
    parts = [part.encode() for part in (VERSION, kid, *binding)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@cache
def _fingerprint_key(key: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"byom fingerprint").derive(key)


@cache
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)
