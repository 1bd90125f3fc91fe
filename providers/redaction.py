"""Takes keys out of text that is about to be shown, stored or logged."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from urllib.parse import quote

MASK = "[redacted]"

# Wider than any one provider's format on purpose: formats drift, and a masked word that was
# no key harms nobody. `byom_` are our own access tokens.
_LOOKS_LIKE_A_KEY = re.compile(r"(?:sk-|AIza|AQ\.|gsk_|xai-|tgp_v1_|byom_)[\w.-]{16,}")

# Replacing a very short "secret" would shred the text; no real key is this short.
_SHORTEST_SECRET = 8


def redact(text: str, *secrets: str) -> str:
    """`text` without `secrets` and without anything that looks like a key.

    A secret is also found URL-encoded and inside base64, at any of its three alignments (an
    `Authorization: Basic` header, say). Costs microseconds; log filters may call it freely.
    """
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            for form in _forms(secret):
                text = text.replace(form, MASK)
    return _LOOKS_LIKE_A_KEY.sub(MASK, text)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    raw = secret.encode()
    for shift in range(3):
        yield from _base64_core(raw, shift)


def _base64_core(raw: bytes, shift: int) -> Iterator[str]:
    """The characters that `raw` alone decides when `shift` unknown bytes stand before it."""
    first = (shift * 8 + 5) // 6
    last = (shift + len(raw)) * 8 // 6
    padded = b"\0" * shift + raw
    yield base64.b64encode(padded).decode()[first:last]
    yield base64.urlsafe_b64encode(padded).decode()[first:last]
