"""The vault: a ring of encryption keys, and sealing with AES-256-GCM.

A token is `byom1:<kid>:<base64(nonce + ciphertext)>`. What it is bound to (its row and
owner) goes in as associated data, so a token copied to another row does not open.

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

VERSION = "byom1"
KEY_BYTES = 32
NONCE_BYTES = 12


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
        return cls(keys=keys, current=next(iter(keys)))

    def seal(self, plaintext: str, binding: Iterable[str]) -> str:
        """A token that only opens with the same binding. Every call gives another token."""
        nonce = os.urandom(NONCE_BYTES)
        data = _associated_data(self.current, binding)
        sealed = AESGCM(self.keys[self.current]).encrypt(nonce, plaintext.encode(), data)
        return f"{VERSION}:{self.current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, token: str, binding: Iterable[str]) -> str:
        """What was sealed. Raises MissingKey or Tampered."""
        version, kid, payload = (token.split(":", 2) + ["", ""])[:3]
        if version != VERSION or not kid:
            raise Tampered
        if kid not in self.keys:
            raise MissingKey
        try:
            raw = base64.b64decode(payload, validate=True)
            data = _associated_data(kid, binding)
            cipher = AESGCM(self.keys[kid])
            return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], data).decode()
        except (InvalidTag, ValueError):
            raise Tampered from None

    def fingerprint(self, plaintext: str, kid: str | None = None) -> str:
        """12 hex digits that tell equal keys apart from different ones, under key `kid`."""
        key = _fingerprint_key(self.keys[kid or self.current])
        return hmac.new(key, plaintext.encode(), hashlib.sha256).hexdigest()[:12]


def new_key(kid: str = "k1") -> str:
    """One row for BYOM_ENCRYPTION_KEYS, with 32 random bytes."""
    return f"{kid}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


@cache
def _ring(text: str) -> KeyRing:
    return KeyRing.parse(text)


def ring() -> KeyRing:
    """The ring in force. Raises BadKeyRing."""
    return _ring(settings.ENCRYPTION_KEYS)


def _parse_row(row: str) -> tuple[str, bytes]:
    kid, _, encoded = row.partition(":")
    if not (kid.isalnum() and kid.isascii() and len(kid) <= 16):
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
