"""Connections of turns, and what a query of theirs reads."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection, transaction

from agents.database import in_database
from agents.models import AgentSession

ask = async_to_sync(in_database)


pytestmark = pytest.mark.integration


@pytest.mark.django_db(transaction=True)
def test_a_job_gives_its_connection_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as with PostgreSQL's pool
    connection.close()

    assert ask(User.objects.exists) is False
    assert connection.connection is None


@pytest.mark.django_db
def test_a_job_leaves_the_transaction_of_its_caller_alone() -> None:
    with transaction.atomic():
        User.objects.create(username="ada")
        assert ask(User.objects.exists) is True
    assert User.objects.exists()


@pytest.mark.django_db
def test_lost_turns_are_found_without_reading_every_session() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # of a table as small as this one it would read all
            cursor.execute("SET LOCAL enable_seqscan = off")

    assert "running_session" in AgentSession.objects.lost().explain()
