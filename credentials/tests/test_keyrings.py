from __future__ import annotations

import base64
import threading
from typing import Any

import pytest

from credentials.fields import Secret
from credentials.vault import PURPOSES, BadKeyRing, Reveals, ring

KEY = b"k" * 32
calls: list[str] = []


def from_elsewhere() -> tuple[dict[str, bytes], str]:
    calls.append("load")
    return {"m2": b"b" * 32, "m1": b"a" * 32}, "m2"


class FromAClass:
    def load(self) -> tuple[dict[str, bytes], str]:
        return {"c1": KEY}, "c1"


def short_key() -> tuple[dict[str, bytes], str]:
    return {"m1": b"short"}, "m1"


def text_key() -> tuple[dict[str, Any], str]:
    return {"m1": "k" * 32}, "m1"


def current_is_missing() -> tuple[dict[str, bytes], str]:
    return {"m1": KEY}, "m2"


def bad_name() -> tuple[dict[str, bytes], str]:
    return {"m:1": KEY}, "m:1"


def out_of_order() -> tuple[dict[str, bytes], str]:
    raise RuntimeError(f"no answer to {base64.b64encode(KEY).decode()}")


def use(settings: Any, name: str) -> None:
    settings.KEY_RING = f"credentials.tests.test_keyrings.{name}"


def test_a_callable_gives_the_ring_and_is_asked_once(settings: Any) -> None:
    use(settings, "from_elsewhere")
    calls.clear()
    token = ring().seal("sk-secret", ("row",))

    assert token.startswith("byom1:m2:")
    assert ring().open(token, ("row",)) == "sk-secret"
    assert len(calls) <= 1


def test_a_class_gives_the_ring_by_its_load(settings: Any) -> None:
    use(settings, "FromAClass")

    assert ring().current == "c1"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("short_key", "m1 .* 32 bytes"),
        ("text_key", "m1 .* 32 bytes"),
        ("current_is_missing", "not on the key ring"),
        ("bad_name", "letters or digits"),
        ("out_of_order", "RuntimeError"),
        ("not_there", "ImportError"),
    ],
)
def test_a_ring_that_cannot_be_used_says_why_and_shows_no_key(
    settings: Any, name: str, sentence: str
) -> None:
    use(settings, name)

    with pytest.raises(BadKeyRing, match=sentence) as caught:
        ring()
    assert base64.b64encode(KEY).decode() not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(ValueError, match="'curiosity' is not a purpose"):
        Secret(plaintext="sk-secret").reveal("curiosity")


def test_counting_loses_nothing_in_threads() -> None:
    reveals = Reveals()

    def count() -> None:
        for _ in range(2000):
            reveals.count("call")

    work = [threading.Thread(target=count) for _ in range(8)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

    assert reveals.snapshot() == {**dict.fromkeys(PURPOSES, 0), "call": 16_000}


def test_a_cipher_shared_by_threads_opens_what_it_should() -> None:
    from credentials.vault import KeyRing

    shared, wrong = KeyRing.of({"k1": KEY}, "k1"), []

    def work(name: str) -> None:
        for number in range(500):
            text = f"{name}-{number}" * 20
            if shared.open(shared.seal(text, (name,)), (name,)) != text:
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
