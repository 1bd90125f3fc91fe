"""Where the ring of encryption keys comes from.

`BYOM_KEY_RING` names a callable, or a class with a method `load`, that takes nothing and returns
`(keys, current)`: a mapping of key ids to 32 bytes each, and the id of the one that seals. It is
called once in each process, before the first key is sealed or opened. One that asks a key
management service might be:

    def load() -> tuple[dict[str, bytes], str]:
        answers = {kid: kms.decrypt(blob) for kid, blob in wrapped_keys().items()}
        return answers, "k2"
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings

from credentials.vault import KeyRing


def environment() -> tuple[Mapping[str, bytes], str]:
    """The default: BYOM_ENCRYPTION_KEYS, or the file that BYOM_ENCRYPTION_KEYS_FILE names."""
    ring = KeyRing.parse(settings.ENCRYPTION_KEYS)
    return ring.keys, ring.current
