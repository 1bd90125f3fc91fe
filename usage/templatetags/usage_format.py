"""How money, durations, counts and providers read on pages.

`static/byom/chat.js` formats the receipt of a streamed answer by the same rules; the browser
test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from django import template

from providers import registry

register = template.Library()

SIGNIFICANT_DIGITS = 3
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


@register.filter
def usd(cost: Decimal | None) -> str:
    """`$12.35`, below a dollar three significant digits (`$0.0000284`); None is "no price"."""
    if cost is None:
        return "no price"
    if cost == 0:
        return "$0"
    decimals = 2 if cost >= 1 else max(2, SIGNIFICANT_DIGITS - 1 - cost.adjusted())
    rounded = cost.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    whole, _, fraction = f"{rounded:,f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


@register.filter
def duration(milliseconds: float | None) -> str:
    """`412 ms`, from a second on `1.2 s`; a dash where nothing was measured."""
    if milliseconds is None:
        return "–"
    whole = int(round(milliseconds, 1) + 0.5)
    if whole < 1000:
        return f"{whole} ms"
    tenths = (whole + 50) // 100
    return f"{tenths // 10}.{tenths % 10} s"


@register.filter
def percent(share: float | None) -> str:
    """`97%` of 0.97, `99.9%` where rounding would make it all; a dash for None."""
    if share is None:
        return "–"
    text = f"{share:.0%}"
    return f"{share:.1%}" if text == "100%" and share < 1 else text


@register.filter
def count(number: int | None) -> str:
    return f"{number or 0:,}"


@register.filter
def moment(at: datetime) -> str:
    """`14 Mar 2026, 23:59 UTC`. The `date` filter takes twenty times as long."""
    at = at.astimezone(UTC)
    return f"{at.day} {MONTHS[at.month - 1]} {at:%Y, %H:%M} UTC"


@register.filter
def provider_label(name: str) -> str:
    return registry.label(name)


@register.filter
def drift(percent: Decimal | None) -> str:
    """`+4.17%`: how far the ledger is above a bill; `n/a` where there is none."""
    return "n/a" if percent is None else f"{percent:+,.2f}%".replace("-", "−")


@register.filter
def share(part: float | None) -> str:
    """`99.5%`; a dash of nothing."""
    return "–" if part is None else f"{part:.1%}".replace(".0%", "%")
