"""Runs `manage.py check --deploy` with the settings of a production server; warnings fail."""

import base64
import os
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)
os.environ.update(
    DJANGO_SETTINGS_MODULE="byom.settings",
    BYOM_ENV="production",
    BYOM_VAR_DIR=tempfile.gettempdir(),
    BYOM_SIMULATOR="off",
    SECRET_KEY=secrets.token_urlsafe(60),
    BYOM_ENCRYPTION_KEYS=f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
    ALLOWED_HOSTS="byom.example",
)

from django.core.management import execute_from_command_line  # noqa: E402

execute_from_command_line(["manage.py", "check", "--deploy", "--fail-level", "WARNING"])
