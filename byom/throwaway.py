"""A database for a measurement: made, filled, dropped again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from django.db import connection


@contextmanager
def throwaway_database() -> Iterator[None]:
    """Django's own way of making a test database, under a name that nothing else has."""
    real = connection.settings_dict["NAME"]
    name = f"byom_bench_{uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / name)
        connection.settings_dict["TEST"]["NAME"] = file if connection.vendor == "sqlite" else name
        connection.creation.create_test_db(verbosity=0, serialize=False)
        try:
            yield
        finally:
            connection.creation.destroy_test_db(real, verbosity=0)


def database_url() -> str:
    """The database of `connection` as a DATABASE_URL for another process."""
    own = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{own['NAME']}"
    password = quote(own["PASSWORD"] or "", safe="")
    user, host, port = quote(own["USER"] or "", safe=""), own["HOST"], own["PORT"] or 5432
    return f"postgres://{user}:{password}@{host}:{port}/{own['NAME']}"
