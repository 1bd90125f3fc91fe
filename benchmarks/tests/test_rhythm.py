"""When schedules are due."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from benchmarks.rhythm import BadRhythm, Every, Rhythm, read_rhythm

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_daily_is_at_the_clock_of_its_zone() -> None:
    rhythm = Rhythm(every=Every.DAY, at=time(6), zone=BERLIN)

    assert rhythm.after(at("2026-01-10 04:59")) == at("2026-01-10 05:00")
    assert rhythm.after(at("2026-01-10 05:00")) == at("2026-01-11 05:00")
    assert rhythm.after(at("2026-03-28 12:00")) == at("2026-03-29 04:00")  # summer time began


def test_an_hour_that_the_clocks_skip_is_not_lost() -> None:
    rhythm = Rhythm(every=Every.DAY, at=time(2, 30), zone=BERLIN)

    assert rhythm.after(at("2026-03-28 12:00")) == at("2026-03-29 01:30")
    assert rhythm.after(at("2026-03-29 01:30")) == at("2026-03-30 00:30")


def test_an_hour_that_the_clocks_repeat_is_due_once() -> None:
    rhythm = Rhythm(every=Every.DAY, at=time(2, 30), zone=BERLIN)

    first = rhythm.after(at("2026-10-24 12:00"))
    assert first == at("2026-10-25 00:30") and rhythm.after(first) == at("2026-10-26 01:30")


def test_weekly_is_on_its_day() -> None:
    rhythm = Rhythm(every=Every.WEEK, weekday=2, at=time(23, 30), zone="America/New_York")

    assert rhythm.after(at("2026-11-27 00:00")) == at("2026-12-03 04:30")


def test_times_that_were_missed_are_left_out() -> None:
    daily, hourly = Rhythm(every=Every.DAY, at=time(6)), Rhythm(every=Every.HOURS, hours=6)
    due, now = at("2026-01-01 06:00"), at("2026-01-08 07:00")

    assert daily.following(due, now) == at("2026-01-09 06:00")
    assert hourly.following(due, now) == at("2026-01-08 12:00")
    assert hourly.following(due, due) == at("2026-01-01 12:00")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("every 6h", "every 6 hours"),
        ("every 1 hours", "every hour"),
        ("daily 06:00", "daily at 06:00 UTC"),
        ("daily 6:05 Europe/Berlin", "daily at 06:05 Europe/Berlin"),
        ("weekly mon 23:59", "Mondays at 23:59 UTC"),
        ("weekly sunday 00:00 Asia/Tokyo", "Sundays at 00:00 Asia/Tokyo"),
    ],
)
def test_words_are_read(text: str, shown: str) -> None:
    assert str(read_rhythm(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "hourly", "every 0h", "every 900h", "daily", "daily 24:00", "daily 06:00 Mars/Base",
        "weekly 06:00", "weekly xyz 06:00", "daily 06:00 ../etc/passwd",
    ],
)  # fmt: skip
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(BadRhythm, match="Write “every 6h”"):
        read_rhythm(text)
