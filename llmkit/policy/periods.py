"""Days, months and spans of time, as people say them and in the time zone that they live in."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

Period = Literal["day", "month"]

_SPAN = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST = timedelta(days=1900 * 365)


def start_of(period: Period, now: datetime, zone: tzinfo) -> datetime:
    """Return when the day or the month began that it is now in a time zone."""
    today = now.astimezone(zone).date()
    return _midnight(today if period == "day" else today.replace(day=1), zone)


def moment_of(text: str, *, now: datetime, zone: tzinfo) -> datetime:
    """Read a moment: a date (2026-05-17: its midnight), a date and a time, or how long ago it is (7d, 12h).

    Args:
        text: the moment.
        now: what it is now.
        zone: where a date or a time is meant that does not say it.

    Raises:
        ValueError: it is none of these.
    """
    if _SPAN.fullmatch(_plain(text)) is not None:
        return ago(text, now)
    try:
        moment = datetime.fromisoformat(text.strip())  # of a date its midnight
    except ValueError:
        raise ValueError(
            f"{text!r} is no date. Write one, such as 2026-05-17 or 2026-05-17T09:30, or how long ago it is: 7d, 12h"
        ) from None
    # In any time zone it has to be a date, too.
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError(f"{text!r} is out of range")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)


def ago(text: str, now: datetime) -> datetime:
    """Return when it was so long ago: 30m, 12h, 90d, 2w.

    Raises:
        ValueError: it is no span of time, or longer than there are dates.
    """
    span = span_of(text)
    if span > _LONGEST:
        raise ValueError(f"{text!r} is too long ago")
    return now - span


def span_of(text: str) -> timedelta:
    """Read a span of time: 30m, 12h, 90d, 2w.

    Raises:
        ValueError: it is none.
    """
    found = _SPAN.fullmatch(_plain(text))
    if found is None:
        raise ValueError(f"{text!r} is no span of time. Write one, such as 90d, 2w, 12h or 30m")
    return int(found[1]) * _UNITS[found[2]]


def _plain(text: str) -> str:
    return text.strip().lower()


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
