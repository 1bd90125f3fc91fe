from __future__ import annotations

import logging
import sys

from byom.logging import RedactingFormatter, logging_config

KEY = "sk-proj-0123456789abcdefghij"


def test_no_part_of_a_log_line_shows_a_key() -> None:
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "sent %s", (KEY,), sys.exc_info()
        )

    line = RedactingFormatter("%(message)s").format(record)
    assert KEY not in line
    assert "ValueError" in line


def test_loggers_that_print_headers_stay_quiet_at_debug() -> None:
    loggers = logging_config("DEBUG")["loggers"]

    for name in ("httpx2", "httpcore2", "openai", "anthropic", "google_genai"):
        assert loggers[name]["level"] == "WARNING"
