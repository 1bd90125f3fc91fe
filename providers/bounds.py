"""How much is read of what others send, where its size in bytes says too little.

32 MB of `[],[],…` take a gigabyte of memory, and the event loop for four seconds.
"""

from __future__ import annotations

import re

MOST_ASKED = 500_000  # values; OpenAI takes up to 300,000 tokens, as numbers, for embeddings
MOST_ANSWERED = 2_000_000  # 32 MB of embeddings have fewer
MOST_LINE_BYTES = 16 * 2**20  # of a stream; a picture in an event takes some megabytes
_SMALL = 2**16  # bytes that are always read
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def holds_too_much(text: bytes, most: int) -> bool:
    """Whether JSON has more than about `most` values. Strings are left out only where they may
    decide, as text has commas too, and where they are not too many themselves."""
    if len(text) <= _SMALL:
        return False
    strings = (text.count(b'"') - text.count(b'\\"')) // 2
    return strings > 2 * most or (_marks(text) > most and _marks(_STRING.sub(b"", text)) > most)


def _marks(text: bytes) -> int:
    """At least as many as there are values in lists and objects, and at most twice as many."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
