from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from usage import outbox


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from usage import metrics, receivers  # noqa: F401  # connects them

        post_migrate.connect(keep_trigger, sender=self)


def keep_trigger(using: str, **kwargs: Any) -> None:
    """SQLite drops the trigger where a later migration remakes the ledger's table."""
    connection = connections[using]
    if "usage_pendingrollup" in connection.introspection.table_names():
        outbox.install(connection)
