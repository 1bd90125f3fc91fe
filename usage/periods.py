"""When a budget's period begins and when it has to be counted anew."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db import models


class Period(models.TextChoices):
    DAY = "day", "day"
    WEEK = "week", "week"
    MONTH = "month", "month"


class Window(NamedTuple):
    """What is spent from `start` on counts, and is right until `end`. Both in UTC."""

    start: datetime
    end: datetime


LENGTHS = {Period.DAY: timedelta(1), Period.WEEK: timedelta(7), Period.MONTH: timedelta(30)}
# How often a rolling budget is counted anew: what is older than its period counts up to this much
# longer, never shorter.
STEPS = {
    Period.DAY: timedelta(minutes=10),
    Period.WEEK: timedelta(hours=1),
    Period.MONTH: timedelta(hours=1),
}


def window(period: Period, is_rolling: bool, zone: ZoneInfo, now: datetime) -> Window:
    """Of the calendar (weeks begin on Monday) in `zone`, or of the last 1, 7 or 30 days."""
    if is_rolling:
        step = STEPS[period].total_seconds()
        begun = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
        return Window(begun - LENGTHS[period], begun + STEPS[period])
    first = _first_day(period, now.astimezone(zone).date())
    return Window(_midnight(first, zone), _midnight(_next(period, first), zone))


def _first_day(period: Period, day: date) -> date:
    if period == Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == Period.MONTH else day


def _next(period: Period, first: date) -> date:
    if period == Period.MONTH:
        return (first + timedelta(days=31)).replace(day=1)
    return first + LENGTHS[period]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
