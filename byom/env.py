"""Typed readers for environment variables. A value that can't be read stops the start.

`X_FILE` may name a file that holds the value of secret `X` (Docker and Kubernetes
secrets). Error messages name the variable and never show a secret's value.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def flag(name: str, default: bool) -> bool:
    value = text(name, "on" if default else "off").lower()
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be on or off (or true/false, 1/0), not {value!r}.")
    return value in TRUE


def integer(name: str, default: int, *, at_least: int = 0, at_most: int = 2**31 - 1) -> int:
    value = text(name) or str(default)
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from None
    if not at_least <= number <= at_most:
        raise ImproperlyConfigured(f"{name} must be from {at_least} to {at_most}, not {number}.")
    return number


def choice(name: str, default: str, choices: Collection[str]) -> str:
    value = text(name) or default
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
    return value


def items(name: str, default: str = "") -> list[str]:
    """A comma-separated list; blanks are dropped."""
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def secret(name: str) -> str:
    """The value of `name`, or the stripped contents of the file that `name_FILE` names.

    Empty if neither is set. Raises ImproperlyConfigured if both are set, or the file
    can't be read.
    """
    path = text(f"{name}_FILE")
    if not path:
        return text(name)
    if text(name):
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names a file that can't be read ({type(error).__name__})."
        ) from None


def required_secret(name: str, why: str) -> str:
    value = secret(name)
    if not value:
        raise ImproperlyConfigured(f"{name} (or {name}_FILE) must be set: {why}")
    return value
