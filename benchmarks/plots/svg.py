"""SVG elements as text. Whatever is given as text or attribute is escaped here."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

TONES = 6  # colours in style.css
MARKS = 4


def element(tag: str, *content: str | SafeString, **attributes: str | float) -> SafeString:
    """`class_` is `class` and `text_anchor` is `text-anchor`; numbers have one decimal."""
    named = format_html_join(
        "", ' {}="{}"', ((_name(name), _text(value)) for name, value in attributes.items())
    )
    body = format_html_join("", "{}", ((part,) for part in content))
    return format_html("<{}{}>{}</{}>", tag, named, body, tag)


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> SafeString:
    return element("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> SafeString:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, tip: str) -> SafeString:
    """Straight lines from point to point; `tip` is shown to who points at it."""
    drawn = "L".join(f"{_text(x)} {_text(y)}" for x, y in points)
    return element("path", element("title", tip), d=f"M{drawn}", class_=f"stroke {class_}")


def mark(number: int, x: float, y: float, class_: str, tip: str) -> SafeString:
    """The mark of the contender of that number: told apart by form, not by colour alone."""
    r = 5.0
    forms = (
        f"M{_text(x - r)} {_text(y)}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z",
        f"M{_text(x - r)} {_text(y - r)}h{2 * r}v{2 * r}h{-2 * r}Z",
        f"M{_text(x)} {_text(y - r - 1)}l{r + 1} {2 * r}h{-2 * (r + 1)}Z",
        f"M{_text(x)} {_text(y - r - 1)}l{r + 1} {r + 1}l{-r - 1} {r + 1}l{-r - 1} {-r - 1}Z",
    )
    return element("path", element("title", tip), d=forms[number % MARKS], class_=f"fill {class_}")


def tone(number: int) -> str:
    """The class for the colour and the dashes of the contender of that number."""
    return f"tone-{number % TONES + 1} dash-{number % MARKS + 1}"


def drawing(height: float, label: str, *content: SafeString, width: float) -> SafeString:
    """The whole. `label` is what somebody hears who does not see it."""
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        class_="drawing",
        role="img",
        aria_label=label,
    )
