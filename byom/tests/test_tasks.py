"""Background tasks and periodic jobs."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.management import call_command
from django_tasks import task

from byom.tasks import ThreadBackend, call_by_path

ran: list[tuple[str, str]] = []
done = threading.Event()


@task
def note(word: str) -> None:
    ran.append((word, threading.current_thread().name))
    done.set()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    done.clear()


def test_a_task_runs_in_a_thread_of_its_own() -> None:
    ThreadBackend("default", {}).enqueue(note, ("hello",), {})

    assert done.wait(5)
    assert ran[0][0] == "hello"
    assert ran[0][1] != threading.current_thread().name


def test_a_worker_finds_a_task_by_its_path() -> None:
    call_by_path(note.module_path, ["again"], {})

    assert ran[0][0] == "again"


@pytest.mark.django_db
def test_housekeeping_runs_every_periodic_job(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.PERIODIC_JOBS = {"credentials.lifecycle.purge_deleted": 60.0}
    call_command("housekeeping")

    assert "credentials.lifecycle.purge_deleted: 0" in capsys.readouterr().out
