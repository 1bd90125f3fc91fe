from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.redaction import MASK, redact

SECRET = "weird+key/with=signs&more"


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-0123456789abcdef",
        "sk-ant-api03-0123456789_abc-def",
        "AIzaSy0123456789abcdefghi",
        "AQ.Ab8RN6012345678901234",
        "gsk_0123456789abcdefgh",
        "xai-0123456789abcdefgh",
        "tgp_v1_0123456789abcdefgh",
        "byom_0123456789abcdefgh",
    ],
)
def test_what_looks_like_a_key_is_masked(key: str) -> None:
    assert redact(f'{{"key": "{key}"}}') == f'{{"key": "{MASK}"}}'


def test_ordinary_text_stays_as_it_is() -> None:
    text = "task-oriented risk-averse models said sk-short and AQ. and byom_x in passing"
    assert redact(text) == text


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"me:" + SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_masked_in_all_its_forms(form: str) -> None:
    text = redact(f"before {form} after", SECRET)
    assert MASK in text
    assert SECRET[4:-4] not in text
    assert text.startswith("before") and text.endswith("after")


@given(
    before=st.binary(max_size=9),
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60),
    after=st.binary(max_size=9),
)
def test_a_secret_is_found_wherever_it_stands_in_base64(
    before: bytes, secret: str, after: bytes
) -> None:
    assert MASK in redact(base64.b64encode(before + secret.encode() + after).decode(), secret)


def test_an_empty_or_tiny_secret_does_not_shred_the_text() -> None:
    assert redact("a plain sentence", "", "a", "plain") == "a plain sentence"
