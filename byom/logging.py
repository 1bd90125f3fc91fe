"""Logging: one handler to stderr whose every line is searched for keys before it leaves.

Lines are text, or JSON objects for programs that collect them. `call_id` is in those that are
written while a provider call is under way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from providers.redaction import redact


class RedactingFormatter(logging.Formatter):
    """Redacts the finished line: message, arguments, traceback and all."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class RedactingJSONFormatter(structlog.stdlib.ProcessorFormatter):
    """One JSON object a line, redacted when it is finished.

    Keys consist of characters that JSON does not escape, and the mask holds none that it would
    have to: a redacted line is still JSON.
    """

    def __init__(self) -> None:
        super().__init__(
            processors=[
                _without_internals,
                structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


@contextmanager
def warnings_only(name: str) -> Iterator[None]:
    """From that logger, for now: what it tells would drown what a command prints."""
    logger = logging.getLogger(name)
    usual = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(usual)


def _without_internals(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Without structlog's own entries, and without the request object that Django adds."""
    return {k: v for k, v in event.items() if not k.startswith("_") and k != "request"}


def logging_config(level: str, style: str = "text") -> dict[str, Any]:
    """A `dictConfig` for the whole process, uvicorn's own loggers included. `style` is `text`
    or `json`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {
                "()": "byom.logging.RedactingFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
            },
            "json": {"()": "byom.logging.RedactingJSONFormatter"},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": style}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.db.backends": {"level": "INFO"},  # its DEBUG lines hold query parameters
            "django.server": {"handlers": [], "propagate": True},
            "uvicorn": {"handlers": [], "level": level, "propagate": True},
            "uvicorn.access": {"handlers": [], "level": level, "propagate": True},
            "uvicorn.error": {"handlers": [], "level": level, "propagate": True},
            # These print request headers, URLs and answers, and with them keys.
            **{
                name: {"level": "WARNING"}
                for name in ("httpx2", "httpcore2", "openai", "anthropic", "google_genai", "mcp")
            },
        },
    }
