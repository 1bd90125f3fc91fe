"""The Celery app of the workers, for `BYOM_TASKS=celery`. Needs `pip install celery`.

A task is acknowledged when it is done, so that one whose worker was killed runs again.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byom.settings")

import django  # noqa: E402

django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.db import connections  # noqa: E402

from byom.tasks import call_by_path  # noqa: E402

app = Celery("byom", broker=settings.CELERY_BROKER_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="byom.run_task")  # type: ignore[untyped-decorator]  # celery has no types
def run_task(path: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    try:
        call_by_path(path, args, kwargs)
    finally:
        connections.close_all()
