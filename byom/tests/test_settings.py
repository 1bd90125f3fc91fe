"""Each start is a process of its own, as settings are read once."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

GOOD = {
    "BYOM_ENV": "production",
    "SECRET_KEY": "x" * 60,
    "BYOM_ENCRYPTION_KEYS": f"k1:{base64.b64encode(b'0' * 32).decode()}",
    "ALLOWED_HOSTS": "byom.example",
}


def start(tmp_path: Path, **variables: str | None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "BYOM_VAR_DIR": str(tmp_path), **variables}
    return subprocess.run(
        [sys.executable, "-c", "import byom.settings"],
        env={name: value for name, value in environment.items() if value is not None},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_starts_with_all_it_needs(tmp_path: Path) -> None:
    result = start(tmp_path, **GOOD)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("missing", "value"),
    [
        ("SECRET_KEY", None),
        ("BYOM_ENCRYPTION_KEYS", None),
        ("ALLOWED_HOSTS", None),
        ("ALLOWED_HOSTS", "*"),
        ("BYOM_DEBUG", "on"),
        ("BYOM_ENV", "prod"),
        ("DATABASE_URL", "postgres//no-colon:hunter2@x"),
    ],
)
def test_production_refuses_to_start_and_says_why(
    tmp_path: Path, missing: str, value: str | None
) -> None:
    result = start(tmp_path, **{**GOOD, missing: value})

    assert result.returncode != 0
    assert f"ImproperlyConfigured: {missing}" in result.stderr
    assert "hunter2" not in result.stderr


def test_development_makes_its_secrets_for_the_owner_only(tmp_path: Path) -> None:
    assert start(tmp_path).returncode == 0
    kept = {name: (tmp_path / name).read_text() for name in ("secret_key", "encryption_keys")}
    assert start(tmp_path).returncode == 0

    for name, text in kept.items():
        assert (tmp_path / name).read_text() == text
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_database_url_that_has_a_password_reaches_django(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from byom.settings import DATABASES as d; print(d['default'])"],
        env={
            "PATH": os.environ["PATH"],
            "BYOM_VAR_DIR": str(tmp_path),
            "POSTGRES_SERVER": "db",
            "POSTGRES_PASSWORD": "pw",
            "POSTGRES_DB": "name",
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "'HOST': 'db'" in result.stdout and "'NAME': 'name'" in result.stdout


def test_hosts_that_can_not_be_read_stop_the_start(settings: Any) -> None:
    settings.BASE_URL_ALLOW = ["localhost", "10.1.2.3/8"]
    with pytest.raises(ImproperlyConfigured, match="BYOM_BASE_URL_ALLOW: '10.1.2.3/8' is no host"):
        apps.get_app_config("byom").ready()
