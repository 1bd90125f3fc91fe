"""The snippets of a page of the docs, and what the page says that they print."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

HOWTO = Path(settings.BASE_DIR) / "docs" / "howto"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Snippet:
    language: str
    code: str
    prints: str

    def matches(self, printed: str) -> bool:
        """Whether that is what the page promises, where `…` stands for anything."""
        parts = map(re.escape, self.prints.strip().split(ANYTHING))
        said = printed.replace("\r\n", "\n").strip()
        return re.fullmatch(".*?".join(parts), said, re.DOTALL) is not None


def snippets(page: str) -> list[Snippet]:
    """Of `use-with-{page}.md`: each block of code and the block of text that follows it."""
    blocks = _BLOCK.findall((HOWTO / f"use-with-{page}.md").read_text())
    codes, texts = blocks[::2], blocks[1::2]
    assert len(codes) == len(texts), f"{page}: a snippet without what it prints"
    assert {language for language, _ in texts} == {"text"}, f"{page}: code after code"
    return [
        Snippet(language, code, text)
        for (language, code), (_, text) in zip(codes, texts, strict=True)
    ]
