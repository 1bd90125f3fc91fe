"""Backends of Django's task API (https://docs.djangoproject.com/en/6.0/topics/tasks/).

Tasks take ids, never secrets, and must be safe to run twice: what is left to do stands in the
database, so that a task that was lost with its process is found there and enqueued again by a
periodic job (`byom.housekeeping`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.backends.immediate import ImmediateBackend
from django_tasks.base import Task, TaskResult, TaskResultStatus
from django_tasks.utils import get_random_id

THREADS = 4


class ThreadBackend(ImmediateBackend):
    """Runs tasks in threads of this process: one machine needs no worker."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="task")

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        self.validate_task(task)
        result = _ready(self.alias, task, args, kwargs)
        self._threads.submit(self._run, result)
        return result

    def _run(self, result: TaskResult[Any]) -> None:
        try:
            self._execute_task(result)
        finally:
            connections.close_all()


class CeleryBackend(BaseTaskBackend):
    """Hands tasks to Celery workers (`celery --app byom.celery worker`)."""

    supports_async_task = True

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any]:
        from byom.celery import run_task

        self.validate_task(task)
        result = _ready(self.alias, task, args, kwargs)
        run_task.apply_async(args=(task.module_path, result.args, result.kwargs))
        return result


def call_by_path(path: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Runs the task at `path` ("package.module.name") here and now."""
    task: Task[Any, Any] = import_string(path)
    task.call(*args, **kwargs)


def _ready(alias: str, task: Task[Any, Any], args: Any, kwargs: Any) -> TaskResult[Any]:
    return TaskResult(
        task=task,
        id=get_random_id(),
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=[],
    )
