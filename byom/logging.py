"""Logging: one handler to stderr whose every line is searched for keys before it leaves."""

from __future__ import annotations

import logging
from typing import Any

from providers.redaction import redact


class RedactingFormatter(logging.Formatter):
    """Redacts the finished line: message, arguments, traceback and all."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def logging_config(level: str) -> dict[str, Any]:
    """A `dictConfig` for the whole process, uvicorn's own loggers included."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "byom.logging.RedactingFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.db.backends": {"level": "INFO"},  # its DEBUG lines hold query parameters
            "django.server": {"handlers": [], "propagate": True},
            "uvicorn": {"handlers": [], "level": level, "propagate": True},
            "uvicorn.access": {"handlers": [], "level": level, "propagate": True},
            "uvicorn.error": {"handlers": [], "level": level, "propagate": True},
            # These print request headers and URLs, and with them keys.
            **{
                name: {"level": "WARNING"}
                for name in ("httpx2", "httpcore2", "openai", "anthropic", "google_genai")
            },
        },
    }
