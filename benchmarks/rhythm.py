"""When a schedule is due: every so many hours, daily or weekly at a time of day of some zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import models

MOST_HOURS = 24 * 28
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PATTERN = re.compile(
    r"(?:every (?P<hours>\d{1,3}) ?h(?:ours)?"
    r"|(?:daily|weekly (?P<day>[a-z]{3,9})) (?P<clock>\d{1,2}:\d{2})(?: (?P<zone>\S+))?)"
)


class Every(models.TextChoices):
    HOURS = "hours", "every few hours"
    DAY = "day", "daily"
    WEEK = "week", "weekly"


class BadRhythm(ValueError):
    """Write “every 6h”, “daily 06:00” or “weekly mon 06:00”, the last two with a time zone if it
    is not UTC: “daily 06:00 Europe/Berlin”."""

    def __init__(self) -> None:
        super().__init__(" ".join((type(self).__doc__ or "").split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """`weekday` is 0 for Monday. `at`, `weekday` and `zone` don't count where it is hours."""

    every: Every
    hours: int = 24
    at: time = time(6)
    weekday: int = 0
    zone: str = "UTC"

    def __str__(self) -> str:
        if self.every == Every.HOURS:
            return "every hour" if self.hours == 1 else f"every {self.hours} hours"
        day = "daily" if self.every == Every.DAY else f"{DAYS[self.weekday].capitalize()}s"
        return f"{day} at {self.at:%H:%M} {self.zone}"

    def after(self, moment: datetime) -> datetime:
        """The first time that it is due after `moment`, in UTC. An hour that the clocks skip comes
        an hour later, one that they repeat is due once."""
        if self.every == Every.HOURS:
            return moment + timedelta(hours=self.hours)
        zone = ZoneInfo(self.zone)
        day = moment.astimezone(zone).date()
        while True:
            due = datetime.combine(day, self.at, zone).astimezone(UTC)
            if due > moment and self._is_a_day(day.weekday()):
                return due
            day += timedelta(days=1)

    def following(self, due: datetime, now: datetime) -> datetime:
        """The next time after one that is past. Times that were missed meanwhile are left out: a
        server that comes back after a week makes one run, not seven."""
        if self.every != Every.HOURS:
            return self.after(max(due, now))
        step = timedelta(hours=self.hours)
        return due + step * (max(now - due, timedelta()) // step + 1)

    def _is_a_day(self, weekday: int) -> bool:
        return self.every == Every.DAY or weekday == self.weekday


def read_rhythm(text: str) -> Rhythm:
    """From words, as on the command line. Raises BadRhythm."""
    found = PATTERN.fullmatch(text.strip())
    if found is None:
        raise BadRhythm
    if found["hours"]:
        hours = int(found["hours"])
        if not 1 <= hours <= MOST_HOURS:
            raise BadRhythm
        return Rhythm(every=Every.HOURS, hours=hours)
    try:
        at, zone = time.fromisoformat(found["clock"].zfill(5)), found["zone"] or "UTC"
        ZoneInfo(zone)
        weekday = _weekday(found["day"]) if found["day"] else 0
    except (ValueError, OSError, LookupError):
        raise BadRhythm from None
    return Rhythm(
        every=Every.WEEK if found["day"] else Every.DAY, at=at, weekday=weekday, zone=zone
    )


def _weekday(word: str) -> int:
    """Raises ValueError."""
    return [day[: len(word)] for day in DAYS].index(word)
