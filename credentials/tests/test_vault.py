from __future__ import annotations

import base64

import pytest

from credentials.vault import BadKeyRing, KeyRing, MissingKey, Tampered, VaultError


def row(kid: str, byte: bytes) -> str:
    return f"{kid}:{base64.b64encode(byte * 32).decode()}"


RING = KeyRing.parse(f"{row('k2', b'b')},{row('k1', b'a')}")
BINDING = ("context", "row", "owner")


def test_what_was_sealed_opens_again() -> None:
    assert RING.open(RING.seal("sk-secret", BINDING), BINDING) == "sk-secret"


def test_a_token_names_the_first_key_of_the_ring_and_hides_the_text() -> None:
    token = RING.seal("sk-secret", BINDING)

    assert token.startswith("byom1:k2:")
    assert "sk-secret" not in token


def test_the_same_text_never_gives_the_same_token() -> None:
    assert RING.seal("sk-secret", BINDING) != RING.seal("sk-secret", BINDING)


@pytest.mark.parametrize("other", [("context", "row", "thief"), ("context", "roow", "ner"), ()])
def test_a_token_does_not_open_for_another_row_or_owner(other: tuple[str, ...]) -> None:
    with pytest.raises(Tampered):
        RING.open(RING.seal("sk-secret", BINDING), other)


def test_no_flipped_character_goes_unnoticed() -> None:
    token = RING.seal("sk-secret-0123456789", BINDING)
    start = len("byom1:k2:")
    for position in range(start, len(token)):
        flipped = "A" if token[position] != "A" else "B"
        with pytest.raises(VaultError):
            RING.open(token[:position] + flipped + token[position + 1 :], BINDING)


@pytest.mark.parametrize("token", ["", "byom1", "byom1:k2", "byom1:k2:", "byom1:k2:?", "x:k2:AAAA"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Tampered):
        RING.open(token, BINDING)


def test_a_key_that_left_the_ring_is_missing_and_not_tampering() -> None:
    token = KeyRing.parse(row("k9", b"z")).seal("sk-secret", BINDING)

    with pytest.raises(MissingKey):
        RING.open(token, BINDING)


def test_an_older_key_of_the_ring_still_opens() -> None:
    token = KeyRing.parse(row("k1", b"a")).seal("sk-secret", BINDING)

    assert RING.open(token, BINDING) == "sk-secret"


def test_relabelling_a_token_with_another_key_id_is_tampering() -> None:
    token = RING.seal("sk-secret", BINDING).replace(":k2:", ":k1:")

    with pytest.raises(Tampered):
        RING.open(token, BINDING)


@pytest.mark.parametrize(
    ("ring", "sentence"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("k1:c2hvcnQ=", "k1 is not base64 of 32 bytes"),
        ("k1:!!", "k1 is not base64 of 32 bytes"),
        (row("", b"a"), "key id"),
        (f"{row('k1', b'a')},{row('k1', b'b')}", "twice"),
    ],
)
def test_a_bad_ring_says_what_is_wrong_and_shows_no_key(ring: str, sentence: str) -> None:
    with pytest.raises(BadKeyRing, match=sentence) as caught:
        KeyRing.parse(ring)

    assert "c2hvcnQ" not in str(caught.value)


def test_fingerprints_tell_equal_keys_from_different_ones() -> None:
    assert RING.fingerprint("one") == RING.fingerprint("one")
    assert RING.fingerprint("one") != RING.fingerprint("two")
    assert RING.fingerprint("one") != RING.fingerprint("one", kid="k1")
    assert len(RING.fingerprint("one")) == 12


def test_a_ring_does_not_print_its_keys() -> None:
    assert "aaaa" not in repr(RING)
    assert base64.b64encode(b"a" * 32).decode() not in repr(RING)
