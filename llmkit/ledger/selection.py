"""Which rows of the ledger are meant, and what they are grouped by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import get_args

from llmkit.caller import UserId, user_id
from llmkit.response import Status

# What rows can be told apart by, and the column that says it.
FIELDS = {
    "user": "user_key",
    "tenant": "tenant",
    "provider": "provider",
    "model": "model",
    "alias": "alias",
    "status": "status",
}
PERIODS = ("day", "month")
STATUSES: tuple[str, ...] = get_args(Status)
TAG = "tag:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Rows of the ledger.

    Args:
        since, until: of calls that began at `since` or later, and before `until`; with time zones.
        where: what they have to say, such as `{"user": "42", "tag:feature": "search"}`; None where they have to say nothing.

    Raises:
        ValueError: rows cannot be told apart by that, or a time has no zone.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: Mapping[str, UserId] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in self.where:
            _check(name, "be chosen", FIELDS)
        where = {name: _value(name, value) for name, value in self.where.items()}
        object.__setattr__(self, "where", MappingProxyType(where))
        for moment in (self.since, self.until):
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise ValueError(
                    "since and until need a time zone, such as datetime(2026, 5, 1, tzinfo=UTC)"
                )


EVERYTHING = Selection()


def dimensions(by: str | Iterable[str]) -> tuple[str, ...]:
    """Check what rows are to be grouped by.

    Raises:
        ValueError: they cannot be.
    """
    names = tuple(dict.fromkeys([by] if isinstance(by, str) else by))
    for name in names:
        _check(name, "be grouped", (*FIELDS, *PERIODS))
    return names


def _value(name: str, value: object) -> str | None:
    """Return what rows have to say, as they would say it."""
    if name in ("user", "tenant"):
        return user_id(value)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} has to be a text or None, not a {type(value).__name__}")
    if name == "status" and value not in STATUSES:
        near = get_close_matches(str(value), STATUSES, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"there is no status {value!r}{meant} There are {', '.join(STATUSES)}.")
    return value


def _check(name: str, what: str, known: Iterable[str]) -> None:
    if name in known or (name.startswith(TAG) and name != TAG):
        return
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(
        f"calls cannot {what} by {name!r}{meant} It can be {', '.join(known)} or {TAG}NAME."
    )
