from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from byom import env


@pytest.mark.parametrize(
    ("value", "expected"),
    [("on", True), ("TRUE", True), ("1", True), ("off", False), ("0", False), ("", False)],
)
def test_a_flag_reads_the_usual_words(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("X", value)

    assert env.flag("X", default=True) is expected


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (lambda: env.flag("X", False), "maybe", "X must be on or off"),
        (lambda: env.integer("X", 1), "one", "X must be a whole number"),
        (lambda: env.integer("X", 1, at_least=2), "1", "X must be from 2"),
        (lambda: env.choice("X", "a", ("a", "b")), "c", "X must be one of a, b"),
    ],
)
def test_a_value_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, read: object, value: str, sentence: str
) -> None:
    monkeypatch.setenv("X", value)

    with pytest.raises(ImproperlyConfigured, match=sentence):
        read()  # type: ignore[operator]


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    monkeypatch.setenv("X_FILE", str(tmp_path / "secret"))

    assert env.secret("X") == "hidden"


def test_a_secret_given_twice_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "hidden")
    monkeypatch.setenv("X_FILE", "/nowhere")

    with pytest.raises(ImproperlyConfigured, match="not both") as caught:
        env.secret("X")
    assert "hidden" not in str(caught.value)


def test_a_secret_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_FILE", "/nowhere/at/all")

    with pytest.raises(ImproperlyConfigured, match="can't be read"):
        env.secret("X")


def test_a_list_drops_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", " a, ,b,")

    assert env.items("X") == ["a", "b"]


def test_every_variable_is_in_the_table_of_settings() -> None:
    source = (settings.BASE_DIR / "byom" / "settings.py").read_text()
    table = (settings.BASE_DIR / "docs" / "reference" / "settings.md").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source))

    documented = set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE))
    assert read == documented
