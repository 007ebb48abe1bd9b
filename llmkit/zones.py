"""Time zones by their names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from llmkit.kinds import kind_of


def zone_of(name: str | None) -> tzinfo:
    """Return a time zone by its name, such as `Europe/Berlin`; UTC for None.

    Raises:
        ValueError: there is none of this name.
    """
    if name is None or name == "UTC":
        return UTC
    if not isinstance(name, str):
        raise ValueError(  # noqa: TRY004  # as any other name of none
            f'a time zone has to be a text such as "Europe/Berlin", not {kind_of(name)}'
        )
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # also what cannot be the name of a file
        near = get_close_matches(name, available_timezones(), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f'{name!r} is no time zone, such as "Europe/Berlin"{meant}') from None
