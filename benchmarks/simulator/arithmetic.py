"""Finds and works out simple arithmetic in a sentence, exactly and without `eval`."""

import re
from fractions import Fraction

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_EXPRESSION = re.compile(rf"(?<![\w.])-?{_NUMBER}(?:\s?[-+*/×÷x]\s?-?{_NUMBER}){{1,30}}(?![\w.]\w)")
_TERM = re.compile(rf"([-+*/])?\s*(-?{_NUMBER})")
_WORDS = (
    (re.compile(r"\s(?:plus)\s", re.IGNORECASE), " + "),
    (re.compile(r"\s(?:minus)\s", re.IGNORECASE), " - "),
    (re.compile(r"\s(?:times|multiplied by)\s", re.IGNORECASE), " * "),
    (re.compile(r"\s(?:divided by|over)\s", re.IGNORECASE), " / "),
)
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")


def find_expression(text: str) -> str:
    """The first arithmetic expression in the text, in Python's signs, or an empty string."""
    text = _DATE.sub(" ", text[:20_000])
    for words, sign in _WORDS:
        text = words.sub(sign, text)
    match = _EXPRESSION.search(text)
    if not match:
        return ""
    return match[0].replace("×", "*").replace("x", "*").replace("÷", "/")


def value_of(expression: str) -> str:
    """The value: `2 + 3 * 4` → `14`. Multiplication and division come first."""
    total, product = Fraction(0), Fraction(0)
    for sign, digits in _TERM.findall(expression):
        number = Fraction(digits)
        if sign == "*":
            product *= number
        elif sign == "/":
            if not number:
                return "undefined"
            product /= number
        else:
            total, product = total + product, -number if sign == "-" else number
    return _shown(total + product)


def _shown(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.10g}"
