"""What the tests of pages share."""

from __future__ import annotations

import re
from typing import Any

from credentials.tests.factories import SIMULATOR_KEYS

GOOD = SIMULATOR_KEYS["openai"]
REFUSED = "sk-sim-401-1234567890"
BROKEN = "sk-sim-500-1234567890"
SCRIPT = {"X-Requested-With": "fetch"}


def text_of(response: Any) -> str:
    """The page as it is read, and proof that no key of ours is on it."""
    html = response.content.decode()
    told = f"<code>{GOOD}</code>"  # on the page to add a key, to everybody
    assert not [key for key in (GOOD, REFUSED, BROKEN) if key in html.replace(told, "")]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())
