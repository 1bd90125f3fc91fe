from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from usage import memory, price_lists
from usage.group_commit import GroupCommit
from usage.price_models import read_overrides


@pytest.fixture
def on_postgresql(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been read is remembered for a whole test: rows are made on the loop then."""
    if connection.vendor != "postgresql":
        pytest.skip("an event loop writes to PostgreSQL only")
    monkeypatch.setattr(memory, "SECONDS", 3600.0)
    read_overrides()
    price_lists.current()


@pytest.fixture
def commits() -> Iterator[GroupCommit]:
    """Its thread has nothing to do as long as nothing goes wrong."""
    made = GroupCommit()
    yield made
    made.close()
