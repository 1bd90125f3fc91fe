from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from usage import outbox


class UsageConfig(AppConfig):
    name = "usage"

    def ready(self) -> None:
        from usage import metrics, receivers  # noqa: F401  # connects them

        if settings.OTEL:
            _start_tracing()
        pre_migrate.connect(lift_triggers, sender=self)
        post_migrate.connect(keep_triggers, sender=self)


def _start_tracing() -> None:
    try:
        from usage import tracing
    except ImportError as error:
        raise ImproperlyConfigured(
            f"BYOM_OTEL=on needs the packages of requirements-otel.txt ({error})."
        ) from None
    tracing.start()


def lift_triggers(using: str, plan: Sequence[Any] = (), **kwargs: Any) -> None:
    """PostgreSQL changes no column's type that a trigger names."""
    from usage import changes  # its models can't be imported sooner

    if plan:
        changes.remove(connections[using])


def keep_triggers(using: str, **kwargs: Any) -> None:
    """SQLite drops triggers where a later migration remakes their table."""
    from usage import changes  # its models can't be imported sooner

    connection = connections[using]
    changes.install(connection)
    if "usage_pendingrollup" in connection.introspection.table_names():
        outbox.install(connection)
