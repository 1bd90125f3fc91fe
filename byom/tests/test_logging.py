from __future__ import annotations

import json
import logging
import sys

from structlog.contextvars import bound_contextvars

from byom.logging import RedactingFormatter, RedactingJSONFormatter, logging_config

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


def test_a_json_line_carries_call_id_and_facts_and_shows_no_key() -> None:
    try:
        raise ValueError(f"bad key\n{KEY}")
    except ValueError:
        record = logging.LogRecord(
            "usage", logging.ERROR, __file__, 1, 'sent "%s"', (KEY,), sys.exc_info()
        )
    record.header = {"x-api-key": KEY}

    with bound_contextvars(call_id="c-1"):
        line = RedactingJSONFormatter().format(record)

    told = json.loads(line)
    assert KEY not in line
    assert (told["event"], told["call_id"]) == ('sent "[redacted]"', "c-1")
    assert (told["level"], told["logger"]) == ("error", "usage")
    assert told["header"] == {"x-api-key": "[redacted]"}
    assert "ValueError: bad key\n[redacted]" in told["exception"]


def test_json_lines_are_what_the_setting_asks_for() -> None:
    config = logging_config("INFO", "json")

    assert config["handlers"]["stderr"]["formatter"] == "json"
    assert config["formatters"]["json"]["()"] == "byom.logging.RedactingJSONFormatter"
