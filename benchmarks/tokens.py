"""How many tokens a text has, about: to hold what providers report against.

Nobody's tokenizer, as OpenAI's is downloaded when first used and the others' are secret: a count of
words, numbers and marks, fitted to OpenAI's cl100k. On English, Markdown too, it is within about
6 % of that one; other languages and code take more tokens than this can know, so English only.
"""

from __future__ import annotations

import re

PIECES = re.compile(r"'(?:s|t|re|ve|m|ll|d)\b|[^\W\d_]+|\d{1,3}|[^\s\w]+|_+|\n+")
WORD = 9  # longer words are seldom one token
MORE = 4  # letters for each further one
MARKS = 2.5  # in a row, for one token
COMMON = frozenset(
    {"the", "of", "and", "a", "to", "in", "is", "that", "for", "with", "on", "are", "it", "as"}
    | {"this", "be", "by", "an", "or"}
)
LEAST_COMMON = 0.08  # of all words, in English
FEWEST_WORDS = 20


def count_tokens(text: str) -> int | None:
    """None for what is not English, or too short to tell."""
    pieces = PIECES.findall(text)
    words = [piece for piece in pieces if piece[0].isalpha()]
    common = sum(word.lower() in COMMON for word in words)
    if len(words) < FEWEST_WORDS or common < LEAST_COMMON * len(words):
        return None
    return round(sum(map(_tokens, pieces)))


def _tokens(piece: str) -> float:
    if piece[0].isalpha():
        return 1 + max(len(piece) - WORD, 0) / MORE
    if piece[0].isdigit() or piece[0] == "\n" or piece[0] == "'":
        return 1.0
    return max(len(piece) / MARKS, 1.0)
