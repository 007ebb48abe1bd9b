"""The windows of budgets, against a plain oracle."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from llmkit.policy.budgets.windows import Per, window_at

# Summer time, none, half an hour of it, a quarter-hour offset, midnights that do not exist.
ZONES = ("Europe/Berlin", "UTC", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
START = datetime(2015, 1, 1, tzinfo=UTC).timestamp()
YEARS = 12 * 365 * 86400.0


def oracle(per: Per, at: datetime, zone: ZoneInfo) -> object:
    """Say which window it is by what clocks and calendars there show."""
    local = at.astimezone(zone)
    return {
        "hour": (local.date(), local.hour, local.utcoffset()),
        "day": local.date(),
        "month": (local.year, local.month),
        "ever": None,
        "minute": None,
    }[per]


def instants(zone: ZoneInfo, count: int) -> list[datetime]:
    """Return moments of any time, and pairs around each change of the clock."""
    chance = random.Random(f"{zone}")
    found = [datetime.fromtimestamp(START + chance.random() * YEARS, UTC) for _ in range(count)]
    at = datetime.fromtimestamp(START, UTC)
    while at.timestamp() < START + YEARS:
        after = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            found += [at + timedelta(minutes=10 * step, seconds=-1) for step in range(24 * 6 + 12)]
        at = after
    return found


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("per", ["hour", "day", "month"])
def test_windows_are_those_of_clocks_and_calendars(name: str, per: Per) -> None:
    """Two moments share a window if clock and calendar say the same of them, and only then; a window ends after all its moments."""
    zone = ZoneInfo(name)
    by_start: dict[int, object] = {}
    by_oracle: dict[object, int] = {}
    for at in instants(zone, 2000):
        window, said = window_at(per, at, zone), oracle(per, at, zone)
        assert by_start.setdefault(window.start, said) == said
        assert by_oracle.setdefault(said, window.start) == window.start
        assert window.ends is not None
        assert at < window.ends
        assert window.start <= at.timestamp()
        if per != "hour":
            assert window_at(per, window.ends, zone).start == window.ends.timestamp()


def test_a_day_of_another_length() -> None:
    """Has 23 or 25 hours; the hour that comes twice is two windows."""
    berlin = ZoneInfo("Europe/Berlin")
    for day, hours in (
        (datetime(2026, 3, 29, 12, tzinfo=UTC), 23),
        (datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
    ):
        window = window_at("day", day, berlin)
        assert window.ends is not None
        assert window.ends.timestamp() - window.start == hours * 3600
    twice = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert {at.astimezone(berlin).hour for at in twice} == {2}
    assert len({window_at("hour", at, berlin).start for at in twice}) == 2


@pytest.mark.parametrize("per", ["minute", "ever"])
def test_some_have_one_window(per: Per) -> None:
    """Which never ends."""
    for at in instants(ZoneInfo("Europe/Berlin"), 5):
        window = window_at(per, at, UTC)
        assert (window.start, window.ends) == (0, None)
