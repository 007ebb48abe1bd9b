"""Days, months and spans of time, as people say them and in the time zone that they live in."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

Period = Literal["day", "month"]

_SPAN = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


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
    try:
        return now - span_of(text)
    except ValueError:
        pass
    except OverflowError:
        raise ValueError(f"{text!r} is too long ago") from None
    try:
        if len(text) == len("2026-05-17"):
            return _midnight(date.fromisoformat(text), zone)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no date. Write one, such as 2026-05-17 or 2026-05-17T09:30, or how long ago it is: 7d, 12h"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def span_of(text: str) -> timedelta:
    """Read a span of time: 30m, 12h, 90d, 2w.

    Raises:
        ValueError: it is none.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no span of time. Write one, such as 90d, 2w, 12h or 30m")
    return int(found[1]) * _UNITS[found[2]]


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
