"""The windows that a budget counts in: calendar periods of a time zone, and the minute that slides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

Per = Literal["minute", "hour", "day", "month", "ever"]

# The sliding minute is counted by seconds: the one that it is, and the sixty before it. With sixty counters a call at 0.9 s and one at
# 60.4 s, which are less than a minute apart, would not be seen together.
SECONDS = 61


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that has an account of its own.

    Attributes:
        start: which one it is: when it begins, in whole seconds since 1970; 0 where there is only one.
        ends: when the next one begins, in UTC; None if none does.
    """

    start: int
    ends: datetime | None


def window_at(per: Per, now: datetime, zone: tzinfo) -> Window:
    """Return the window that a moment is in. That of a minute slides, so there is only one.

    Args:
        per: its length.
        now: the moment, with a time zone.
        zone: where its days, months and hours begin.
    """
    if per in ("minute", "ever"):
        return Window(0, None)
    local = now.astimezone(zone)
    if per == "hour":
        # In time that passes, not on the clock: where that is set back, an hour comes twice and has two windows.
        since = timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
        begins = now.astimezone(UTC) - since
        return Window(int(begins.timestamp()), begins + timedelta(hours=1))
    this, following = _DATES[per](local.date())
    return Window(int(_midnight(this, zone).timestamp()), _midnight(following, zone))


def _days(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _months(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


_DATES: dict[str, Callable[[date], tuple[date, date]]] = {"day": _days, "month": _months}


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)
