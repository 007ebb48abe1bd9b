"""Spans, moments, days and months, as people say them, in the time zone that they live in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from llmkit.policy.periods import Period, ago, moment_of, span_of, start_of
from llmkit.zones import zone_of

NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)


def utc(text: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("2w", timedelta(days=14)),
        ("0d", timedelta()),
        (" 7 D ", timedelta(days=7)),
        ("999999m", timedelta(minutes=999_999)),
    ],
)
def test_spans(text: str, span: timedelta) -> None:
    """Minutes, hours, days and weeks, in small letters or capitals."""
    assert span_of(text) == span


@pytest.mark.parametrize("text", ["", "d", "7", "-7d", "7y", "1.5h", "7d12h", "7d ago", "1000000d"])
def test_what_is_no_span(text: str) -> None:
    """The error says what is one."""
    with pytest.raises(ValueError, match=r"is no span of time. Write one, such as 90d, 2w"):
        span_of(text)


def test_how_long_ago() -> None:
    """It is counted back in hours that have passed, whatever the clocks did; longer than there are dates is refused."""
    assert ago("12h", NOW) == utc("2026-05-17T00:30")
    berlin = ZoneInfo("Europe/Berlin")
    after = utc("2026-03-29T12:00")
    assert moment_of("1d", now=after, zone=berlin) == utc("2026-03-28T12:00")
    assert moment_of(" 1D", now=after, zone=berlin) == utc("2026-03-28T12:00")
    for text in ("999999d", "999999w"):
        with pytest.raises(ValueError, match="is too long ago"):
            ago(text, NOW)
        with pytest.raises(ValueError, match="is too long ago"):
            moment_of(text, now=NOW, zone=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-05-17", "UTC", "2026-05-17T00:00"),
        ("2026-05-17", "Europe/Berlin", "2026-05-16T22:00"),
        ("2026-01-17", "Europe/Berlin", "2026-01-16T23:00"),
        ("2026-05-17", "America/New_York", "2026-05-17T04:00"),
        ("2026-05-17", "Asia/Kathmandu", "2026-05-16T18:15"),
        ("2026-05-17T09:30", "Europe/Berlin", "2026-05-17T07:30"),
        ("2026-05-17 09:30:15", "UTC", "2026-05-17T09:30:15"),
        ("2026-05-17T09:30Z", "Europe/Berlin", "2026-05-17T09:30"),
        ("2026-05-17T09:30-03:00", "Europe/Berlin", "2026-05-17T12:30"),
        # The hour that is left out is counted on, and of the one that comes twice the first is meant.
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:30"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30"),
        # In Beirut the clocks go on at midnight: this day begins at one.
        ("2022-03-27", "Asia/Beirut", "2022-03-26T22:00"),
        # And in Havana back to midnight: it comes twice.
        ("2026-11-01", "America/Havana", "2026-11-01T04:00"),
        ("0002-01-01", "Europe/Berlin", "0001-12-31T23:06:32"),
    ],
)
def test_dates_and_times(text: str, zone: str, moment: str) -> None:
    """In the zone that is given, unless they say another one; a date is its midnight."""
    found = moment_of(text, now=NOW, zone=zone_of(zone))
    assert (found, found.tzinfo) == (utc(moment), UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "17.05.2026", "2026-13-01", "2026-02-30", "12:30", "2026-05-17T25:00"]
)
def test_what_is_no_date(text: str) -> None:
    """The error says what is one."""
    with pytest.raises(ValueError, match=r"is no date. Write one, such as 2026-05-17 or"):
        moment_of(text, now=NOW, zone=UTC)


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00+14:00", "9999-12-31T23:59-05:00"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_date_at_the_end_of_time(text: str, zone: str) -> None:
    """It is refused, as it is no date any more in another zone."""
    with pytest.raises(ValueError, match="is out of range"):
        moment_of(text, now=NOW, zone=zone_of(zone))


@pytest.mark.parametrize(
    ("period", "now", "zone", "start"),
    [
        ("day", "2026-05-17T12:30", "UTC", "2026-05-17T00:00"),
        ("month", "2026-05-17T12:30", "UTC", "2026-05-01T00:00"),
        ("day", "2026-05-17T00:00", "UTC", "2026-05-17T00:00"),
        ("day", "2026-05-17T23:30", "Europe/Berlin", "2026-05-17T22:00"),
        ("day", "2026-05-17T03:59", "America/New_York", "2026-05-16T04:00"),
        ("month", "2026-05-31T22:30", "Europe/Berlin", "2026-05-31T22:00"),
        ("month", "2026-05-01T03:59", "America/New_York", "2026-04-01T04:00"),
        # Days of 23 and of 25 hours, and the months that they are in.
        ("day", "2026-03-29T21:59", "Europe/Berlin", "2026-03-28T23:00"),
        ("day", "2026-03-29T22:00", "Europe/Berlin", "2026-03-29T22:00"),
        ("day", "2026-10-25T22:59", "Europe/Berlin", "2026-10-24T22:00"),
        ("month", "2026-03-31T12:00", "Europe/Berlin", "2026-02-28T23:00"),
        ("month", "2026-10-31T12:00", "Europe/Berlin", "2026-09-30T22:00"),
        ("day", "2022-03-27T10:00", "Asia/Beirut", "2022-03-26T22:00"),
        ("day", "2026-11-01T12:00", "America/Havana", "2026-11-01T04:00"),
        # Samoa left a day out: 30 December 2011.
        ("day", "2011-12-31T09:59", "Pacific/Apia", "2011-12-30T10:00"),
        ("day", "2011-12-30T09:59", "Pacific/Apia", "2011-12-29T10:00"),
    ],
)
def test_the_start_of_a_day_and_of_a_month(period: Period, now: str, zone: str, start: str) -> None:
    """They are those of the time zone."""
    found = start_of(period, utc(now), zone_of(zone))
    assert (found, found.tzinfo) == (utc(start), UTC)


@pytest.mark.parametrize(
    "zone",
    [
        *("Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana"),
        *("Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo"),
    ],
)
def test_a_day_begins_where_the_one_before_ends(zone: str) -> None:
    """At every hour of some years: the start is of the same day, and a microsecond earlier it was another."""
    place = zone_of(zone)
    for year in (2011, 2018, 2026):
        for hour in range(365 * 24):
            now = datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
            start, today = start_of("day", now, place), now.astimezone(place).date()
            assert start <= now
            assert start.astimezone(place).date() == today
            assert (start - timedelta(microseconds=1)).astimezone(place).date() < today


def test_zones_by_their_names() -> None:
    """None is UTC."""
    assert zone_of(None) is zone_of("UTC") is UTC
    assert zone_of("Europe/Berlin") == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berlim", "did you mean 'Europe/Berlin'?"),
        ("", "is no time zone"),
        ("Europe", "is no time zone"),
        ("../etc/passwd", "is no time zone"),
        ("/etc/passwd", "is no time zone"),
        ("Europe/Berlin\0", "is no time zone"),
        ("\ud800", "is no time zone"),
        ("x" * 5000, "is no time zone"),
    ],
)
def test_a_zone_that_does_not_exist(name: str, meant: str) -> None:
    """What was meant is said, if it can be told; no file is read that is none."""
    with pytest.raises(ValueError, match=meant) as raised:
        zone_of(name)
    assert "such as" in str(raised.value)
