"""Colours of the report, for terminals: what is right, wrong, sure, not sure, and a heading.

The lines themselves are the same wherever they go; nothing is told by colour alone.
"""

from __future__ import annotations

import re

from rich.text import Text

STYLES = tuple(
    (re.compile(pattern), style)
    for pattern, style in (
        (
            r"^(?:BYOM |Benchmark: |SUMMARY|VERDICTS|WARM-UP|FAILED CALLS|CALLS AT |COMPARED ).*",
            "bold",
        ),
        (r"^[=-]{20,}$", "dim"),
        (r"^[A-Z][^:]*:$", "bold cyan"),
        (r"^(?:Provider|At a time) .*", "bold"),
        (r"✓", "green"),
        (r"✗.*|\bfailed\b|^  Failed: .*", "red"),
        (r"is (?:faster|cheaper|slower|dearer) by \d+%", "bold green"),
        (r"(?:response time|first token|cost): (?:slower|dearer) by .*", "red"),
        (r"(?:response time|first token|cost): (?:faster|cheaper) by .*", "green"),
        (r"inconclusive, about \d+ more runs? needed|no verdict, .* the difference", "yellow"),
        (r"^  warning: .*|^  This machine is too busy.*", "yellow"),
        (r"n/a(?:, needs \d+)?", "dim"),
    )
)


def styled(line: str) -> Text:
    """Without any meaning for rich in what models and providers have written."""
    text = Text(line)
    for pattern, style in STYLES:
        text.highlight_regex(pattern, style)
    return text
